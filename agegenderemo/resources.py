"""Where the files that come with the package are: in a wheel inside it, in a clone beside it."""

from pathlib import Path

from agegenderemo.errors import CheckpointError
from agegenderemo.files import is_file
from agegenderemo.hub import PREFIX, fetch_checkpoint

_PACKAGE = Path(__file__).resolve().parent

DEFAULT_MODEL = "agegendernet"

PHOTOS = ("astronaut.jpg", "grace-hopper.jpg", "solvay-1927.jpg")
"""Pictures in ``examples`` that the pages offer."""


def resource_folder(name: str) -> Path:
    """``checkpoints``, ``examples`` or ``browser``, in a wheel, a clone or an editable install.

    Raises FileNotFoundError where the installation lacks it.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(
        f"The folder {name!r} is missing from this installation of agegenderemo; install it again."
    )


def default_checkpoint() -> Path:
    """The safetensors file of the network that is used unless another is named."""
    return resource_folder("checkpoints") / f"{DEFAULT_MODEL}.safetensors"


def shipped_checkpoints() -> list[Path]:
    """The safetensors files of all networks that come with the package, the default first."""
    default = default_checkpoint()
    others = default.parent.glob("*.safetensors")
    return [default, *sorted(one for one in others if one != default)]


def find_checkpoint(path: str | Path | None) -> Path:
    """The safetensors file that a path, the name of a network that comes with the package, or an
    address ``hf://USER/REPO`` of the Hugging Face Hub stands for; None is the one that is used
    unless another is named.

    Raises CheckpointError for an unknown name, or where the Hub has none such; MissingExtraError
    for an address without huggingface_hub.
    """
    if path is None:
        return default_checkpoint()
    if isinstance(path, str) and path.startswith(PREFIX):
        return fetch_checkpoint(path, DEFAULT_MODEL)
    file = Path(path)
    if file.suffix or len(file.parts) != 1 or str(path) != file.name:
        return file
    named = resource_folder("checkpoints") / f"{file.name}.safetensors"
    if not is_file(named):
        known = ", ".join(one.stem for one in shipped_checkpoints())
        raise CheckpointError(
            f"No network named {file.name!r} comes with this package, only {known}; "
            "a file of your own ends in .safetensors."
        )
    return named
