"""The tool for assistants: what it answers to one, and to a stranger."""

import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from chromium import App, running_app
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from pages import ASTRONAUT
from real_server import Stranger

from agegenderemo import Analyzer
from agegenderemo.errors import MissingExtraError
from agegenderemo.web.from_code import ADDRESS, MCP, code_html
from agegenderemo.web.guard import Store
from agegenderemo.web.mcp_tool import mcp_app

pytest_plugins = ["web_fixtures"]
pytestmark = pytest.mark.slow

PICTURE = "data:image/jpeg;base64," + base64.b64encode(ASTRONAUT.read_bytes()).decode()
WANTED = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_app(tmp_path_factory.mktemp("mcp"), "--mcp") as one:
        yield one
        assert "Traceback" not in one.log()


def asked(app: App, *calls: dict[str, Any], tool: str = "analyze") -> list[types.CallToolResult]:
    """The answers to an assistant that connects as the Code tab says."""
    settings = json.loads(MCP.replace(ADDRESS, app.url))
    url = settings["mcpServers"]["agegenderemo"]["url"]

    async def run() -> list[types.CallToolResult]:
        async with streamable_http_client(url) as streams, ClientSession(*streams) as session:
            await session.initialize()
            found = await session.list_tools()
            assert [one.name for one in found.tools] == ["analyze"]
            return [await session.call_tool(tool, call) for call in calls]

    return asyncio.run(run())


def said(answer: types.CallToolResult) -> str:
    (content,) = answer.content
    assert isinstance(content, types.TextContent)
    return content.text


def test_an_assistant_reads_a_picture(app: App) -> None:
    before = app.files()
    stranger = Stranger(app)
    (path,) = stranger.upload([("me.jpg", ASTRONAUT.read_bytes())])
    sent, uploaded = asked(app, {"picture": PICTURE}, {"picture": path})
    for answer, name in ((sent, "picture"), (uploaded, "me.jpg")):
        assert not answer.is_error
        record = answer.structured_content
        assert record == json.loads(said(answer))
        assert record["file"] == name
        (face,) = record["faces"]
        assert face["gender"] == "female"
    assert {one.name for one in app.files()} - {one.name for one in before} == {"me.jpg"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "takes one text"),
        ({"picture": {"path": str(ASTRONAUT), "meta": {"_type": "gradio.FileData"}}}, "one text"),
        ({"picture": PICTURE, "more": 1}, "takes one text"),
        ({"picture": str(ASTRONAUT)}, "not here"),
        ({"picture": "/dev/zero"}, "not here"),
        ({"picture": "http://127.0.0.1:1/x.jpg"}, "not here"),
        ({"picture": "data:image/jpeg,abc"}, "must be in base64"),
        ({"picture": "data:image/jpeg;base64,?"}, "no base64"),
        ({"picture": "data:image/jpeg;base64,aGVsbG8="}, "not an image"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(
    app: App, arguments: dict[str, Any], sentence: str
) -> None:
    (answer,) = asked(app, arguments)
    assert answer.is_error
    assert sentence in said(answer)


def test_there_is_one_tool(app: App) -> None:
    (answer,) = asked(app, {"picture": PICTURE}, tool="show_photo")
    assert answer.is_error


def test_messages_of_strangers_are_refused(app: App) -> None:
    url = f"{app.url}mcp"
    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert httpx.post(url, json=call, headers=WANTED).status_code == 200
    foreign = {**WANTED, "origin": "http://evil.example"}
    assert httpx.post(url, json=call, headers=foreign).status_code == 403
    assert httpx.post(url, json=call, headers={**WANTED, "host": "evil.example"}).status_code == 421
    assert httpx.get(url, headers=WANTED).status_code == 405  # nobody holds a stream open
    assert httpx.delete(url).status_code == 405
    for body in (b"", b"null", b"[]", b"{", b'{"jsonrpc": "2.0"}', b"[" * 9999, b'{"id": NaN}'):
        answer = httpx.post(url, content=body, headers=WANTED)
        assert 400 <= answer.status_code < 500, body
    with suppress(httpx.WriteError):  # it is not read to its end
        answer = httpx.post(url, content=b" " * 17_000_000, headers=WANTED)
        assert answer.status_code == 413


def test_it_is_off_unless_asked_for(server: str, analyzer: Analyzer) -> None:
    assert httpx.post(f"{server}/mcp", json={}, headers=WANTED).status_code == 404
    assert "mcp" not in code_html(analyzer.tasks).lower()
    assert "mcpServers" in code_html(analyzer.tasks, mcp=True)


def test_without_its_package_one_sentence_says_so(
    analyzer: Analyzer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match=r"agegenderemo\[mcp\]"):
        mcp_app(analyzer, store)
