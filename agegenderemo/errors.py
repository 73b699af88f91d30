"""Every error that this package raises for people: one base, one sentence each."""


class AgeGenderEmoError(ValueError):
    """The base of all of them; its message is one sentence that says what is wrong and what to
    do."""


class ImageError(AgeGenderEmoError):
    """A picture that cannot be used; the message is for the person who sent it."""


class FilmError(AgeGenderEmoError):
    """A film that cannot be used; the message is for the person who sent it."""


class DatasetError(AgeGenderEmoError):
    """A data set that cannot be found or is not laid out as published."""


class CheckpointError(AgeGenderEmoError):
    """Weights or a graph that cannot be used or written."""


class ParityError(AgeGenderEmoError):
    """Two engines give different answers for the same faces."""


class TaskError(AgeGenderEmoError):
    """A task that a network does not have, or that is not what the caller takes it for."""


class MissingExtraError(AgeGenderEmoError):
    """A command whose optional packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: pip install 'agegenderemo[{extra}]'.")
        self._given = (what, extra)

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        return MissingExtraError, self._given
