"""Turns by address in gradio's queue: who calls much waits behind himself, and nobody else does."""

import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from guard_app import LONG, WEB, Served, guarded

from agegenderemo.web.guard import Limits
from agegenderemo.web.guard.assembly import close_shortcuts

pytestmark = pytest.mark.slow

MANY, ONE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Limits(session_events=3, address_events=4, call_seconds=1.5)
    with guarded(tmp_path_factory.mktemp("turns"), limits, proxies=("127.0.0.1",)) as one:
        yield one


def call(served: Served, address: str) -> httpx.Response:
    """A call of the function that takes long: two of them run at once."""
    return WEB.post(
        f"{served.url}gradio_api/call/long",
        json={"data": []},
        headers={"x-forwarded-for": address},
        timeout=20,
    )


def started(seconds: float = 5) -> bool:
    try:
        LONG.started.get(timeout=seconds)
    except queue.Empty:
        return False
    return True


def test_an_address_with_many_calls_does_not_hold_every_worker(served: Served) -> None:
    with ThreadPoolExecutor() as threads:
        first = threads.submit(call, served, MANY)
        assert started()
        more = threads.submit(call, served, MANY)
        assert not started(0.5)  # a worker is free, and kept for somebody else
        other = threads.submit(call, served, ONE)
        assert started()
        assert other.result().status_code == first.result().status_code == 200
        assert not more.done()
        for _ in range(2):
            LONG.ends.put("over")
        assert started()  # his next one, in its turn
        LONG.ends.put("over")
        assert more.result().status_code == 200


def test_who_waits_long_is_told_so_and_who_sends_too_many_at_once(served: Served) -> None:
    with ThreadPoolExecutor() as threads:
        assert call(served, MANY).status_code == 200
        assert started()
        since = time.monotonic()
        waiting = [threads.submit(call, served, MANY) for _ in range(3)]
        time.sleep(0.3)
        at_once = call(served, MANY)
        assert time.monotonic() - since < 1
        assert at_once.status_code == 429
        assert "wait for an answer" in at_once.json()["detail"]
        for one in waiting:
            late = one.result()
            assert (late.status_code, late.headers["retry-after"]) == (429, "60")
            assert "try again in a minute" in late.json()["detail"]
        assert 1.4 < time.monotonic() - since < 3
        assert call(served, ONE).status_code == 200  # all this is nothing to another
        assert started()
        for _ in range(2):
            LONG.ends.put("over")
        assert call(served, MANY).status_code == 200  # and he is not locked out
        assert started()
        LONG.ends.put("over")


def join_as(served: Served, session: str) -> httpx.Response:
    """The same call from a page."""
    return WEB.post(
        f"{served.url}gradio_api/queue/join",
        json={"data": [], "fn_index": 1, "session_hash": session},
        headers={"x-forwarded-for": MANY},
        timeout=20,
    )


def test_a_page_with_many_calls_leaves_places_to_its_neighbours(served: Served) -> None:
    with ThreadPoolExecutor() as threads:
        assert join_as(served, "page-a").status_code == 200
        assert started()
        waiting = [threads.submit(join_as, served, "page-a") for _ in range(3)]
        time.sleep(0.3)
        assert join_as(served, "page-a").status_code == 429
        neighbour = threads.submit(join_as, served, "page-b")
        time.sleep(0.3)
        assert not neighbour.done()  # it waits as they do
        answers = [one.result().status_code for one in (*waiting, neighbour)]
        assert answers == [429] * 4  # all waited too long, for none ended
        LONG.ends.put("over")


def test_an_address_with_ever_new_sessions_pushes_out_its_own(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(address_sessions=2), proxies=("127.0.0.1",)) as one:
        for address, session in ((ONE, "mine"), *((MANY, f"new-{n}") for n in range(4))):
            body = {"data": [None], "fn_index": 0, "session_hash": session}
            headers = {"x-forwarded-for": address}
            api = f"{one.url}gradio_api/queue"
            assert WEB.post(f"{api}/join", json=body, headers=headers).status_code == 200
            WEB.get(f"{api}/data?session_hash={session}", headers=headers)
        assert set(one.demo.state_holder.session_data) == {"mine", "new-2", "new-3"}


def test_gradio_counts_no_calls(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(address_rate=100)) as one:
        close_shortcuts(one.demo)
        api = f"{one.url}gradio_api/queue"
        for number in range(3):
            body = {"data": [None], "fn_index": 0, "session_hash": f"s{number}"}
            assert WEB.post(f"{api}/join", json=body).status_code == 200
            assert "process_completed" in WEB.get(f"{api}/data?session_hash=s{number}").text
        queue_ = one.demo._queue
        assert len(queue_.event_analytics) <= 1
        assert queue_.cached_event_analytics_summary == {"functions": {}}
