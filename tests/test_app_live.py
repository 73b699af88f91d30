"""Live frames as the server takes them, and whom it remembers."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from pages import ASTRONAUT, data_url
from PIL import Image

from agegenderemo import Analyzer, FaceTracker, load_image
from agegenderemo.web import live
from agegenderemo.web.guard import Store

pytest_plugins = ["web_fixtures"]

VIEWER = "a-viewer-of-the-tests"


Read = Callable[..., dict[str, Any]]


def read_frames(analyzer: Analyzer, viewers: live.Viewers | None = None) -> Read:
    read = live.frame_reader(live.Viewers(analyzer.tracker) if viewers is None else viewers)
    return lambda frame, viewer=VIEWER: read({"viewer": viewer, "frame": frame})


def seen(tracker: FaceTracker, time: float) -> None:
    """As if a frame had been followed."""
    assert tracker.update(np.zeros((60, 80, 3), np.uint8), time) == []


def test_a_live_frame_is_read_and_nothing_is_written(
    server: str, analyzer: Analyzer, store: Store
) -> None:
    before = sorted(store.folder.rglob("*"))
    frame = Image.fromarray(load_image(ASTRONAUT)).resize((480, 480))
    reply = read_frames(analyzer)(data_url(frame))
    assert (reply["width"], reply["height"]) == (480, 480)
    assert len(reply["faces"]) == 1
    assert json.loads(json.dumps(reply)) == reply
    assert sorted(store.folder.rglob("*")) == before


def test_bad_frames_are_refused_before_decoding(
    analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_frames(analyzer)
    prefix = "data:image/jpeg;base64,"
    monkeypatch.setattr("agegenderemo.web.live.np.array", pytest.fail)
    cases = {
        "JPEG data URL": (None, 7, "", "hello", ["x"], "data:image/png;base64,AAAA"),
        "can be read": (prefix, prefix + "%%%%", prefix + "AAAA",
                        data_url(Image.new("RGB", (9, 9)), "PNG")),
        "1280×960": (data_url(Image.new("RGB", (4000, 3000))),),
        "300 kB": (prefix + "A" * 500_000,),
    }  # fmt: skip
    for words, frames in cases.items():
        for data in frames:
            reply = read(data)
            assert words in reply["error"]
            assert not reply["busy"]


def test_a_truncated_frame_is_refused(analyzer: Analyzer) -> None:
    whole = data_url(Image.fromarray(load_image(ASTRONAUT)))
    half = whole[: len(whole) // 8 * 4 + 3]  # the prefix has 23 characters, so whole groups of 4
    assert "can be read" in read_frames(analyzer)(half)["error"]


@pytest.mark.parametrize("side", [15_000, 65_500])
def test_a_frame_that_states_a_huge_size_is_refused(analyzer: Analyzer, side: int) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = 2 * side.to_bytes(2, "big")
    url = "data:image/jpeg;base64," + base64.b64encode(content).decode()
    assert read_frames(analyzer)(url)["error"].startswith(("A frame may have", "The frame is not"))


def test_live_messages_must_name_their_viewer(analyzer: Analyzer) -> None:
    read = live.frame_reader(live.Viewers(analyzer.tracker))
    messages: tuple[object, ...] = (
        None,
        "x",
        [],
        {},
        {"viewer": 7},
        {"viewer": "short"},
        {"viewer": "x" * 65},
    )
    for message in messages:
        assert "viewer" in read(message)["error"]


def test_a_viewer_keeps_the_person_and_leaves(analyzer: Analyzer) -> None:
    viewers = live.Viewers(analyzer.tracker)
    read = read_frames(analyzer, viewers)
    frame = data_url(Image.fromarray(load_image(ASTRONAUT)))
    numbers = [read(frame)["faces"][0]["track_id"] for _ in range(3)]
    assert numbers == [1, 1, 1]
    assert read(frame, "another-viewer")["faces"][0]["track_id"] == 1
    assert len(viewers) == 2
    assert live.frame_reader(viewers)({"viewer": VIEWER}) == {"faces": []}
    assert len(viewers) == 1


def test_many_viewers_share_the_searches(analyzer: Analyzer) -> None:
    viewers = live.Viewers(analyzer.tracker)
    own = analyzer.tracker().thresholds.search_every
    for number in range(64):
        with viewers.turn(f"viewer-{number}", 10.0) as tracker:
            assert viewers.search_every(tracker, 10.0) >= own
            seen(tracker, 10.0)
    assert viewers.search_every(tracker, 10.0) == 64 / live.SEARCHES > 2
    assert viewers.search_every(tracker, 10.0 + live.ACTIVE_SECONDS) == own


def test_a_tracker_searches_as_rarely_as_it_is_told(analyzer: Analyzer) -> None:
    frame = load_image(ASTRONAUT)
    searches = 0

    class Counting(type(analyzer.detector)):  # type: ignore[misc]
        def detect(self, *given: Any, **named: Any) -> Any:
            nonlocal searches
            searches += 1
            return super().detect(*given, **named)

    tracker = FaceTracker(Analyzer(Counting(), analyzer.predictor))
    for step in range(9):
        assert len(tracker.update(frame, step / 4, search_every=1.0)) == 1
    assert searches == 3


def test_no_frame_brings_back_who_left(analyzer: Analyzer) -> None:
    viewers = live.Viewers(analyzer.tracker)
    with viewers.turn(VIEWER, 0.0) as tracker:  # under way
        viewers.leave(VIEWER)
        seen(tracker, 0.0)
    assert len(viewers) == 0
    with viewers.turn(VIEWER, 1.0) as tracker:  # overtaken by the message that says so
        seen(tracker, 1.0)
    assert len(viewers) == 0
    with viewers.turn("the next start", 2.0) as tracker:
        seen(tracker, 2.0)
    assert len(viewers) == 1


def test_viewers_who_left_cost_nothing(analyzer: Analyzer) -> None:
    viewers = live.Viewers(analyzer.tracker, most=3)
    for number in range(10):
        with viewers.turn(f"viewer-{number}", 0.0) as tracker:
            seen(tracker, 0.0)
    assert len(viewers) == 3
    with viewers.turn("viewer-9", live.STATE_SECONDS + 1.0) as tracker:
        assert tracker.last_seen == 0.0  # its own stays while it is here
        assert len(viewers) == 1


def test_live_over_http(server: str) -> None:
    config = httpx.get(f"{server}config").json()
    (component,) = (c for c in config["components"] if c["props"].get("elem_id") == "live-page")
    call = {"component_id": component["id"], "fn_name": "read_frame", "session_hash": "test"}
    url = f"{server}gradio_api/component_server/"
    frame = data_url(Image.fromarray(load_image(ASTRONAUT)))
    message = {"viewer": VIEWER, "frame": frame}
    reply = httpx.post(url, json={**call, "data": message}).json()
    assert len(reply["faces"]) == 1
    large = json.dumps({**call, "data": "x" * 1_100_000}).encode()
    assert httpx.post(url, content=large).status_code == 413
    assert httpx.post(url, json={**call, "fn_name": "preprocess", "data": ""}).status_code == 404
