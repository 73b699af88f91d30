"""What a call of gradio may hold. It is rebuilt from what was checked: no byte of the client's own
JSON goes on."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agegenderemo.web.guard.bodies import check_depth
from agegenderemo.web.guard.refusal import Refusal, not_found
from agegenderemo.web.guard.routes import TOKEN

InputKind = Literal["file", "files", "index", "nothing", "flag", "number", "text"]

MAX_FILES = 500
MAX_TEXT = 1000
_EVENT_DATA_DEPTH = 4
_EVENT_DATA_ITEMS = 64
_EVENT_ID = re.compile(r"[0-9a-f]{32}")
_SESSION = re.compile(TOKEN)
_GONE = "A file of this call is not here (any more); upload it again."


@dataclass(frozen=True, slots=True)
class Function:
    """One function that pages or clients may call."""

    index: int
    api_name: str | None
    """None for one that only the page calls."""
    inputs: tuple[InputKind, ...]
    group: str = ""
    """Functions of one group share gradio's workers."""
    workers: int = 1


class Events:
    """Checks calls against the functions that exist. ``has_file`` says whether a path is a regular
    file of the store."""

    def __init__(self, functions: Sequence[Function], has_file: Callable[[str], bool]) -> None:
        self._by_index = {one.index: one for one in functions}
        self._by_name = {one.api_name: one for one in functions if one.api_name}
        self._has_file = has_file

    def join(self, body: Any) -> dict[str, Any]:
        """A checked ``queue/join``; raises Refusal."""
        parts = _object(body)
        function = self._by_index.get(_whole(parts.get("fn_index")))
        if function is None:
            raise not_found()
        return {
            "data": self._data(function, parts.get("data")),
            "fn_index": function.index,
            "session_hash": session_name(parts.get("session_hash")),
            "trigger_id": _optional_whole(parts.get("trigger_id")),
            "event_data": _event_data(parts.get("event_data")),
        }

    def call(self, name: str, body: Any) -> dict[str, Any]:
        """A checked ``call/{name}``; raises Refusal."""
        function = self._by_name.get(name)
        if function is None:
            raise not_found()
        return {"data": self._data(function, _object(body).get("data"))}

    def group_of(self, call: Mapping[str, Any], name: str | None = None) -> str:
        """The group of a checked call."""
        return (self._by_name[name] if name else self._by_index[call["fn_index"]]).group

    def is_public(self, name: str) -> bool:
        """Whether clients may call a function of that name."""
        return name in self._by_name

    def small(self, body: Any) -> dict[str, Any]:
        """A checked ``cancel`` or ``reset``; raises Refusal."""
        parts = _object(body)
        event = parts.get("event_id")
        if not isinstance(event, str) or not _EVENT_ID.fullmatch(event):
            raise Refusal(422, "That call is not known.")
        checked: dict[str, Any] = {"event_id": event}
        if "session_hash" in parts:
            checked["session_hash"] = session_name(parts["session_hash"])
            checked["fn_index"] = _whole(parts.get("fn_index"))
        return checked

    def _data(self, function: Function, data: Any) -> list[Any]:
        if not isinstance(data, list) or len(data) != len(function.inputs):
            raise Refusal(422, f"This call takes {len(function.inputs)} inputs.")
        return [self._input(kind, one) for kind, one in zip(function.inputs, data, strict=True)]

    def _input(self, kind: InputKind, value: Any) -> Any:
        if value is None or kind == "nothing":
            return None
        if kind == "file":
            return self._file(value)
        if kind == "files":
            files = value if isinstance(value, list) else [value]
            if len(files) > MAX_FILES:
                raise Refusal(422, f"At most {MAX_FILES} files are taken at once.")
            return [self._file(one) for one in files]
        if kind == "index" and 0 <= _whole(value) < 1000:
            return value
        if kind == "flag" and isinstance(value, bool):
            return value
        if kind == "number" and type(value) in (int, float) and abs(value) < 1e9:
            return value
        if kind == "text" and isinstance(value, str) and len(value) <= MAX_TEXT:
            return value
        raise Refusal(422, "An input of this call has the wrong kind.")

    def _file(self, value: Any) -> dict[str, Any]:
        path = value.get("path") if isinstance(value, dict) else None
        # One answer for all: it must not tell which files exist.
        if not isinstance(path, str) or not self._has_file(path):
            raise Refusal(422, _GONE)
        name = path.rpartition("/")[2]
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def session_name(value: Any) -> str:
    """A session's name; raises Refusal for what pages and clients never make."""
    if not isinstance(value, str) or not _SESSION.fullmatch(value):
        raise Refusal(422, "The name of a session has 1 to 64 letters, digits and dashes.")
    return value


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise Refusal(422, "A call is a JSON object.")
    return body


def _whole(value: Any) -> int:
    return value if type(value) is int and abs(value) < 2**31 else -1


def _optional_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _event_data(value: Any) -> Any:
    """What the page's own scripts send with an event: a small object, or refused."""
    if value is not None and not isinstance(value, dict):
        raise Refusal(422, "An event carries a JSON object.")
    check_depth(value, _EVENT_DATA_DEPTH)
    if len(str(value)) > MAX_TEXT or (value and len(value) > _EVENT_DATA_ITEMS):
        raise Refusal(422, "An event carries too much.")
    return value
