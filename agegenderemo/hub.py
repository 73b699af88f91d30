"""Checkpoints of the Hugging Face Hub: ``hf://USER/REPO``, or a revision of it by ``@REVISION``.

They lie in the cache of huggingface_hub afterwards, and are opened from there as any file is, with
the same checks. Where the Hub does not answer, what is in the cache is used.
"""

import re
from collections.abc import Iterable
from glob import escape
from pathlib import Path
from typing import NamedTuple

from agegenderemo.errors import CheckpointError, MissingExtraError

PREFIX = "hf://"

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_WEIGHTS = ".safetensors"
_BESIDE = (".onnx", ".int8.onnx", ".json", ".history.csv")
"""What is fetched of a network besides its weights, where the repository has it."""


class _Repository(NamedTuple):
    address: str
    name: str
    revision: str | None


def fetch_checkpoint(address: str, preferred: str) -> Path:
    """The safetensors file of a repository, in the cache, with its graphs and its card beside it.

    ``preferred`` is the network that is taken where there are several. Raises CheckpointError for
    an address, a repository or a revision that is none, for one without a network or with several,
    and where the Hub does not answer and the cache lacks it; MissingExtraError without
    huggingface_hub.
    """
    repository = _parse(address)
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtraError(
            f"A checkpoint of the Hugging Face Hub ({address})", "hub"
        ) from error
    try:
        return _fetch(repository, preferred)
    except (CheckpointError, KeyboardInterrupt):
        raise
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(
            f"The repository of {address} has no such revision: no branch, tag or commit."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"The Hub has no repository {address} that you may read; for a private one log in, "
            "with: hf auth login."
        ) from error
    except errors.HFValidationError as error:
        raise CheckpointError(_not_an_address(address)) from error
    except Exception as error:  # which ones a dead network raises differs between its versions
        reason = type(error).__name__
    try:
        cached = hub.snapshot_download(
            repository.name,
            revision=repository.revision,
            local_files_only=True,
            allow_patterns=[],  # none of its files is asked for: they are looked at below
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{address} could not be fetched from the Hub ({reason}), and is not in the cache."
        ) from error
    folder = Path(cached)
    return folder / _choose(repository, preferred, (one.name for one in folder.iterdir()))


def _parse(address: str) -> _Repository:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise CheckpointError(_not_an_address(address))
    return _Repository(address, match[1], match[2])


def _not_an_address(address: str) -> str:
    return f"{address} is no address of a model: hf://USER/REPO or hf://USER/REPO@REVISION."


def _fetch(repository: _Repository, preferred: str) -> Path:
    import huggingface_hub as hub

    name, revision = repository.name, repository.revision
    # Not `list_repo_files`, which tries a dead network for 20 seconds.
    info = hub.HfApi().model_info(name, revision=revision)
    there = [one.rfilename for one in info.siblings or ()]
    weights = _choose(repository, preferred, there)
    stem = weights.removesuffix(_WEIGHTS)
    wanted = {weights, *(stem + ending for ending in _BESIDE)} & set(there)
    patterns = [escape(one) for one in sorted(wanted)]
    return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns)) / weights


def _choose(repository: _Repository, preferred: str, names: Iterable[str]) -> str:
    """The weights among the files at the top of a repository."""
    found = sorted(one for one in names if one.endswith(_WEIGHTS) and "/" not in one)
    if preferred + _WEIGHTS in found:
        return preferred + _WEIGHTS
    if not found:
        raise CheckpointError(
            f"There is no network (NAME{_WEIGHTS}) at the top of {repository.address}."
        )
    if len(found) > 1:
        raise CheckpointError(
            f"{repository.address} has several networks ({', '.join(found)}), and none of them is "
            f"{preferred}{_WEIGHTS}: keep one a repository, or a revision."
        )
    return found[0]
