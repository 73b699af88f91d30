"""The guard in front of a real gradio app, met over HTTP as a stranger meets it."""

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import gradio as gr
import httpx
import pytest
from gradio.routes import App
from gradio_client import Client, handle_file
from guard_app import META, WEB, Served, guarded, join, upload
from starlette.routing import Mount, Route

from agegenderemo.web.guard import Limits
from agegenderemo.web.guard.bodies import parse
from agegenderemo.web.guard.gradio_parts import functions_of
from agegenderemo.web.guard.routes import CLOSED, OPEN

pytestmark = pytest.mark.slow

ASTRONAUT = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # The tests are one busy address; pace and numbers of files have tests of their own.
    with guarded(tmp_path_factory.mktemp("store"), Limits(address_rate=100)) as one:
        yield one


# ------------------------------------------------------------------ honest controls


def test_gradio_client_is_answered(served: Served) -> None:
    client = Client(served.url, verbose=False)
    result = client.predict(handle_file(str(ASTRONAUT)), api_name="/analyze")
    assert result == {"file": "astronaut.jpg", "size": ASTRONAUT.stat().st_size}


def test_curl_is_answered(served: Served) -> None:
    (path,) = upload(served.url, b"12345").json()
    call = f"{served.url}gradio_api/call/analyze"
    event = WEB.post(call, json={"data": [{"path": path}]}).json()["event_id"]
    answer = WEB.get(f"{call}/{event}").text
    assert "event: complete" in answer
    assert '"size": 5' in answer


def test_a_mounted_app_is_answered(tmp_path: Path) -> None:
    with guarded(tmp_path, mount="/faces") as one:
        client = Client(f"{one.url}faces/", verbose=False)
        assert client.predict(handle_file(str(ASTRONAUT)), api_name="/analyze")["size"] > 1000
        closed = WEB.post(f"{one.url}faces/gradio_api/run/analyze", json={"data": [None]})
        assert closed.status_code == 404


def test_the_page_and_its_parts_load(served: Served) -> None:
    page = WEB.get(served.url)
    assert page.status_code == 200
    assert "gradio" in page.text
    for path in ("config", "theme.css", "favicon.ico", "robots.txt", "gradio_api/info", "healthz"):
        assert WEB.get(served.url + path).status_code == 200, path
    asset = page.text.partition("./assets/")[2].partition('"')[0]
    assert WEB.get(f"{served.url}assets/{asset}").status_code == 200


def test_a_tunnel_and_a_proxy_reach_it(tmp_path: Path) -> None:
    with guarded(tmp_path, allowed=("faces.example",)) as one:
        tunnel = {"host": "localhost:9000", "origin": "http://localhost:9000"}
        assert upload(one.url, b"x", headers=tunnel).status_code == 200
        proxy = {"host": "faces.example", "origin": "https://faces.example"}
        assert upload(one.url, b"x", headers=proxy).status_code == 200
        behind = {"origin": "https://faces.example"}  # a proxy that states its own Host
        assert upload(one.url, b"x", headers=behind).status_code == 200


def test_an_uploaded_picture_comes_back(served: Served) -> None:
    content = ASTRONAUT.read_bytes()
    (path,) = upload(served.url, content, "mein Bild #1 ü.jpg").json()
    answer = WEB.get(f"{served.url}gradio_api/file={quote(path)}")
    assert answer.content == content
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"].startswith("inline")
    head = WEB.head(f"{served.url}gradio_api/file={quote(path)}")
    assert head.headers["content-length"] == str(len(content))


def test_live_calls_are_answered(served: Served) -> None:
    answer = _live(served, {"data": {"viewer": "somebody", "frame": "x"}})
    assert answer.json() == {"echo": {"viewer": "somebody", "frame": "x"}}


def _live(served: Served, body: dict[str, Any]) -> httpx.Response:
    call = {"component_id": served.component, "fn_name": "read_frame", "session_hash": "s"}
    return WEB.post(f"{served.url}gradio_api/component_server/", json={**call, **body})


# ------------------------------------------------------------------ what is closed


def _templates(routes: Any, seen: set[str]) -> set[str]:
    for route in routes:
        if isinstance(route, Mount):
            _templates(getattr(route.app, "routes", ()), seen)
        elif isinstance(route, Route):
            seen.add(route.path)
        elif hasattr(route, "original_router"):  # fastapi keeps included routers whole
            _templates(route.original_router.routes, seen)
    return seen


def test_every_route_of_the_app_is_decided(served: Served) -> None:
    walked = _templates(served.web.routes, set())
    app = App.create_app(served.demo)
    walked |= _templates(app.routes, set())
    assert len(walked) > 60
    undecided = walked - {route.template for route in OPEN} - set(CLOSED)
    assert not undecided, f"nobody decided about {sorted(undecided)}: guard/routes.py"
    assert not {route.template for route in OPEN} & set(CLOSED)


@pytest.mark.parametrize("template", CLOSED)
def test_closed_routes_are_404(served: Served, template: str) -> None:
    path = template.replace("{api_name}", "analyze").replace("{size}", "12000")
    for part in ("session_hash", "event_id", "run", "path:path", "url_path:path"):
        path = path.replace(f"{{{part}}}", "0" * 32)
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        answer = WEB.request(method, served.url.rstrip("/") + path, json={"data": [None]})
        assert answer.status_code == 404, (method, path)
        assert answer.json() == {"detail": "There is nothing here."}


@pytest.mark.parametrize(
    "path",
    ["gradio_api/run/analyze", "gradio_api/run/predict", "gradio_api/api/analyze",
     "/gradio_api/run/analyze", "gradio_api//run/analyze", "x/../gradio_api/run/analyze",
     "gradio_api/%72un/analyze", "gradio_api/run%2Fanalyze", "GRADIO_API/run/analyze",
     "gradio_api/call/v2/analyze", "gradio_api/stream/abc"],
)  # fmt: skip
def test_no_spelling_skips_the_queue(served: Served, path: str) -> None:
    address = urlsplit(served.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    connection.request("POST", f"/{path}", json.dumps({"data": [{"path": str(ASTRONAUT)}]}))
    assert connection.getresponse().status == 404


def test_deep_links_are_dropped(served: Served) -> None:
    answer = WEB.get(f"{served.url}config?deep_link=../../x")
    assert answer.status_code == 200
    assert "deep_link_state" not in answer.json()


# ------------------------------------------------------------------ files of others


OUTSIDE = [str(ASTRONAUT), "/etc/passwd", "/dev/zero", "/dev/ptmx", "http://127.0.0.1/a.jpg",
           "https://example.com/a.jpg", "file:///etc/passwd", "", "\0", "\ud800", "a" * 5000,
           "../../etc/passwd", 7, None, ["x"]]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE, ids=range(len(OUTSIDE)))
def test_nothing_is_read_that_was_not_uploaded(served: Served, path: object) -> None:
    answers = [join(served.url, path)]
    call = f"{served.url}gradio_api/call/analyze"
    for value in ({"path": path}, {"path": path, "url": "http://127.0.0.1:1/x.jpg"}):
        answers.append(WEB.post(call, content=json.dumps({"data": [value]})))
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.text for answer in answers}) == 1  # tells nothing of what exists


def test_a_path_inside_the_folder_must_be_exact(served: Served) -> None:
    (path,) = upload(served.url, b"x").json()
    folder, token, name = path.rsplit("/", 2)
    for other in (f"{folder}/{token}/../{token}/{name}", f"{folder}//{token}/{name}",
                  f"{folder}/{token}", f"{folder}/{token}/", f"{folder}/{'0' * 32}/{name}",
                  f"{folder}/./{token}/{name}", f"{path}/", f"{path}\0"):  # fmt: skip
        assert join(served.url, other).status_code == 422, other
    assert join(served.url, path).status_code == 200


def test_links_and_pipes_are_no_files(served: Served) -> None:
    path = served.store.new_path("link.jpg")
    path.symlink_to(ASTRONAUT)
    fifo = served.store.new_path("fifo.jpg")
    os.mkfifo(fifo)
    linked = served.store.folder / ("e" * 32)
    linked.symlink_to(ASTRONAUT.parent)
    for one in (path, fifo, linked / ASTRONAUT.name):
        assert join(served.url, str(one)).status_code == 422
        got = WEB.get(f"{served.url}gradio_api/file={quote(str(one))}", timeout=5)
        assert got.status_code == 404


TRAVERSALS = ["/etc/passwd", "http://127.0.0.1:1/a", "//127.0.0.1/a", "..%2f..%2fetc/passwd",
              "/proc/self/environ", "%00", "\\etc\\passwd", "/dev/zero", "C:/x", "~/x"]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_only_the_store_is_served(served: Served, path: str) -> None:
    for prefix in ("", str(served.store.folder) + "/", str(served.store.folder) + "/../"):
        for kind in ("file=", "proxy="):
            answer = WEB.get(f"{served.url}gradio_api/{kind}{prefix}{path}")
            assert answer.status_code == 404


def test_what_a_stranger_uploads_never_runs_in_the_page(served: Served) -> None:
    for name in ("a.svg", "a.html", "a.xml", "a.js", "noending"):
        (path,) = upload(served.url, b"<script>1</script>", name).json()
        answer = WEB.get(f"{served.url}gradio_api/file={quote(path)}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"


# ------------------------------------------------------------------ bodies and sessions


def test_bodies_are_bounded(served: Served) -> None:
    large = json.dumps({"data": ["x" * 1_100_000]}).encode()
    for path in ("queue/join", "call/analyze", "component_server/", "cancel", "reset"):
        url = f"{served.url}gradio_api/{path}"
        assert WEB.post(url, content=large).status_code == 413, path
        chunks = (large[i : i + 50_000] for i in range(0, len(large), 50_000))
        assert _status_of_chunks(url, chunks) == 413, path


def _status_of_chunks(url: str, chunks: Iterator[bytes]) -> int:
    try:
        return WEB.post(url, content=chunks).status_code
    except (httpx.WriteError, httpx.ReadError):  # closed before everything was sent
        return 413


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b"[" + b"[]," * 300_000 + b"[]]",
     b'{"a":' * 5000, b"\xff\xfe", b"null", b"[]", b"1e999", b"9" * 9999,
     b'{"data": {}}', b'{"data": [NaN], "fn_index": 0}', b'{"data": [[[[[[[[]]]]]]]]}'],
)  # fmt: skip
def test_bad_json_is_a_refusal(served: Served, body: bytes) -> None:
    for path in ("queue/join", "call/analyze", "component_server/", "cancel", "reset"):
        answer = WEB.post(f"{served.url}gradio_api/{path}", content=body)
        assert 400 <= answer.status_code < 500, (path, body[:20])


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"-Infinity", b"9" * 4000, b"[" + b"1," * 490_000 + b"1]",
     b"{" + b",".join(b'"%x":1' % n for n in range(60_000)) + b"}"],
)  # fmt: skip
def test_json_that_is_dear_or_no_json_is_a_refusal(served: Served, value: bytes) -> None:
    for path, name in (("queue/join", b"event_data"), ("component_server/", b"data")):
        body = b'{"data":[null],"fn_index":0,"session_hash":"s","%b":%b}' % (name, value)
        answer = WEB.post(f"{served.url}gradio_api/{path}", content=body)
        assert answer.status_code == 400, (path, value[:20])


def test_a_call_of_500_files_is_few_items() -> None:
    one = {"path": "/t/a,b.jpg", "url": "http://localhost/a,b.jpg", "orig_name": "a,b.jpg",
           "size": 10**9, "mime_type": "image/jpeg", "is_stream": False, "meta": META}  # fmt: skip
    body = json.dumps({"data": [[one] * 500], "fn_index": 3, "session_hash": "s"}).encode()
    assert len(parse(body, Limits())["data"][0]) == 500


@pytest.mark.parametrize("session", ["x" * 65, "", "a/b", "a\n", 7, None, {"a": 1}])
def test_sessions_have_fair_names(served: Served, session: object) -> None:
    (path,) = upload(served.url, b"x").json()
    assert join(served.url, path, session_hash=session).status_code == 422


@pytest.mark.parametrize("index", [99, -1, True, "0", None, 2**40, 0.0])
def test_unknown_functions_are_refused(served: Served, index: object) -> None:
    assert join(served.url, None, fn_index=index).status_code == 404


def test_streams_of_nobody_are_refused(served: Served) -> None:
    api = f"{served.url}gradio_api/"
    assert WEB.get(f"{api}queue/data?session_hash=nobody").status_code == 404
    assert WEB.get(f"{api}queue/data").status_code == 422
    assert WEB.get(f"{api}call/analyze/{'0' * 32}").status_code == 404


@pytest.mark.parametrize(
    "change", [{"component_id": 10**6}, {"component_id": "1"}, {"component_id": None},
               {"fn_name": "preprocess"}, {"fn_name": "__init__"}, {"fn_name": 7}],
)  # fmt: skip
def test_unknown_components_are_404(served: Served, change: dict[str, Any]) -> None:
    assert _live(served, {"data": {}, **change}).status_code == 404


# ------------------------------------------------------------------ names and headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1", "a b"])
def test_other_names_are_refused(served: Served, host: str) -> None:
    assert WEB.get(served.url, headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1", "é", ""]
)
def test_posts_of_other_sites_are_refused(served: Served, origin: str) -> None:
    answer = upload(served.url, b"x", headers={"origin": origin.encode()})
    assert answer.status_code == 403
    assert join(served.url, None, session_hash="own").status_code == 422  # no Origin passes


@pytest.mark.parametrize(
    "name", ["x-forwarded-host", "x-forwarded-server", "x-direct-url", "x-original-url",
             "x-forwarded-prefix", "x-gradio-server", "x-rewrite-url", "forwarded", "referer",
             "x-forwarded-proto", "cookie"],
)  # fmt: skip
def test_no_header_puts_another_site_into_the_page(served: Served, name: str) -> None:
    for value in ("evil.example", "http://evil.example/", "host=evil.example", "//evil.example"):
        for path in ("", "config"):
            answer = WEB.get(served.url + path, headers={name: value})
            assert answer.status_code == 200
            assert "evil.example" not in answer.text


def test_every_answer_carries_the_headers(served: Served) -> None:
    for path in ("", "config", "healthz", "nothing", "gradio_api/file=/etc/passwd"):
        headers = WEB.get(served.url + path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin"
        assert "connect-src 'self' data: blob:;" in headers["content-security-policy"]
        assert "camera=(self)" in headers["permissions-policy"]
        assert "http" not in headers["content-security-policy"]


def test_the_guard_refuses_inputs_that_nobody_decided(tmp_path: Path) -> None:
    with gr.Blocks() as demo:
        gr.Button().click(lambda value: value, gr.Code(), None)
    with pytest.raises(ValueError, match="'code'"):
        functions_of(demo)
