"""The real app, ``python app.py`` but for its numbers, as a stranger talks to it without a page."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from chromium import App

META = {"_type": "gradio.FileData"}
CODE = """
from agegenderemo.web.app import serve
from agegenderemo.web.guard import Limits
serve(limits=Limits({numbers}))
"""
Files = Sequence[tuple[str, bytes]]


class Stranger:
    """What the page and its clients send, by hand: to the app, or to what stands before it."""

    def __init__(
        self, app: App | None, url: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.url = url or (app.url if app else "")
        self.api = f"{self.url}gradio_api/"
        self.web = httpx.Client(timeout=120, headers=headers)
        self.config: dict[str, Any] = self.web.get(f"{self.url}config").json()
        self._calls = 0

    def components(self, name: str) -> list[dict[str, Any]]:
        """The components with that ``elem_id``, one on the page of each network."""
        return [one for one in self.config["components"] if one["props"].get("elem_id") == name]

    def component(self, name: str) -> int:
        """The number of the first of them."""
        return int(self.components(name)[0]["id"])

    def function(self, given: str, answered: str) -> dict[str, Any]:
        """The function from one component to another."""
        inputs, output = [self.component(given)], self.component(answered)
        functions: list[dict[str, Any]] = self.config["dependencies"]
        return next(f for f in functions if f["inputs"] == inputs and output in f["outputs"])

    def upload(self, files: Files) -> list[str]:
        parts = [("files", one) for one in files]
        answer = self.web.post(f"{self.api}upload", files=parts)
        assert answer.status_code == 200, answer.text
        paths: list[str] = answer.json()
        return paths

    def join(self, function: int, data: list[Any], session: str = "") -> httpx.Response:
        body = {"data": data, "fn_index": function, "session_hash": session or "stranger"}
        return self.web.post(f"{self.api}queue/join", content=json.dumps(body))

    def run(self, function: dict[str, Any], data: list[Any]) -> dict[str, Any]:
        """The output of a function that the page calls, as it comes through the queue."""
        *_, last = self.outputs(function, data)
        return last

    def told(self, function: dict[str, Any], data: list[Any]) -> str:
        """The first text that a function gives which goes on until it is done."""
        texts = [one for output in self.outputs(function, data) for one in output["data"]]
        return next(one for one in texts if isinstance(one, str))

    def outputs(self, function: dict[str, Any], data: list[Any]) -> Iterator[dict[str, Any]]:
        """What comes through the queue, up to the last output."""
        self._calls += 1
        session = f"call-{self._calls}"
        joined = self.join(function["id"], data, session)
        assert joined.status_code == 200, joined.text
        address = f"{self.api}queue/data?session_hash={session}"
        with self.web.stream("GET", address) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") in ("process_generating", "process_completed"):
                    assert message["success"], message
                    yield message["output"]
                    if message["msg"] == "process_completed":
                        return
        raise AssertionError("the stream ended without an answer")

    def many(self, files: Files) -> list[dict[str, Any]]:
        """The records that Many photos makes of some files."""
        sent = [file(path) for path in self.upload(files)]
        told = self.told(self.function("batch-input", "batch-run"), [sent])
        (path,) = re.findall(r'data-path="([^"]+)"', told)
        end = json.loads(self.fetch(path).text.splitlines()[-1])
        records: list[dict[str, Any]] = self.fetch(end["downloads"]["JSON"]).json()
        return records

    def fetch(self, path: str) -> httpx.Response:
        return self.web.get(f"{self.api}file={quote(path)}")

    def live(self, message: Any) -> httpx.Response:
        number = self.component("live-page")
        call = {"component_id": number, "fn_name": "read_frame", "session_hash": "s"}
        body = json.dumps({**call, "data": message})
        return self.web.post(f"{self.api}component_server/", content=body)


def file(path: object) -> dict[str, Any]:
    return {"path": path, "meta": META}


def paths_in(value: Any) -> list[str]:
    """Every path of a file within an answer of gradio."""
    if isinstance(value, dict):
        own = [value["path"]] if isinstance(value.get("path"), str) else []
        return own + [path for one in value.values() for path in paths_in(one)]
    return [path for one in value for path in paths_in(one)] if isinstance(value, list) else []
