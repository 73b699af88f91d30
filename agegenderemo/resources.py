"""Where the files that come with the package are: in a wheel inside it, in a clone beside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

DEFAULT_MODEL = "agegendernet"


def resource_folder(name: str) -> Path:
    """``checkpoints`` or ``examples``, in a wheel, a clone or an editable install.

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
