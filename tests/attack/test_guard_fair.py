"""Turns: one address with many names does not starve another."""

import asyncio
import os
import threading
import time
from functools import partial

import pytest

from agegenderemo.errors import ImageError
from agegenderemo.web.guard.fair import Busy, FairPool
from agegenderemo.web.guard.picture_pool import PicturePool

pytestmark = pytest.mark.slow


def pool(threads: int = 1, each: int = 100, total: int = 200, seconds: float = 10) -> FairPool[str]:
    return FairPool(threads, each, total, seconds)


def slept(seconds: float) -> str:
    time.sleep(seconds)
    return ""


async def _order(one: FairPool[str], calls: list[tuple[str, str]]) -> list[str]:
    """In which order the calls run that wait behind a first long one."""
    order: list[str] = []
    hold = threading.Event()

    def work(name: str) -> str:
        order.append(name)
        return name

    def wait() -> str:
        hold.wait(10)
        return ""

    first = asyncio.create_task(one.run("first", "x", wait))
    await asyncio.sleep(0.05)
    tasks = [
        asyncio.create_task(one.run(address, session, lambda n=f"{address}/{session}": work(n)))  # type: ignore[misc]
        for address, session in calls
    ]
    await asyncio.sleep(0.05)
    hold.set()
    await asyncio.gather(first, *tasks)
    return order


def test_addresses_take_turns_and_sessions_within_them() -> None:
    crowd = [("many", str(number)) for number in range(20)]
    order = asyncio.run(_order(pool(), [*crowd, ("one", "a"), ("two", "b")]))
    assert order.index("one/a") < 3
    assert order.index("two/b") < 4
    assert [name for name in order if name.startswith("many")] == [f"many/{n}" for n in range(20)]


def test_one_address_never_holds_every_thread() -> None:
    async def main() -> float:
        one = pool(threads=2)
        crowd = [
            asyncio.create_task(one.run("many", str(number), lambda: slept(0.2)))
            for number in range(10)
        ]
        await one.run("other", "x", lambda: "")
        await asyncio.sleep(0.25)  # threads that were taken before the other came are free by now
        start = time.monotonic()
        await one.run("other", "x", lambda: "")
        spent = time.monotonic() - start
        await asyncio.gather(*crowd)
        return spent

    assert asyncio.run(main()) < 0.1


def test_a_session_has_one_frame_where_others_wait_and_an_address_bounded_ones() -> None:
    async def main() -> None:
        one = pool(each=2)
        hold = threading.Event()
        running = asyncio.create_task(one.run("a", "x", lambda: str(hold.wait(10))))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(one.run("a", name, lambda: "")) for name in "yz"]
        await asyncio.sleep(0.05)
        for session in "xy":
            for address in "ab":  # its state is one, wherever it is
                with pytest.raises(Busy, match="still being read"):
                    await one.run(address, session, lambda: "")
        with pytest.raises(Busy, match="other viewers"):
            await one.run("a", "w", lambda: "")
        hold.set()
        await asyncio.gather(running, *waiting)
        assert await one.run("a", "x", lambda: "again") == "again"

    asyncio.run(main())


def test_the_next_frame_of_a_session_waits_for_the_first() -> None:
    async def main() -> list[str]:
        one = pool(threads=2)
        hold, done = threading.Event(), list[str]()

        def work(name: str) -> str:
            if name == "first":
                hold.wait(10)
            done.append(name)
            return name

        first = asyncio.create_task(one.run("a", "x", lambda: work("first")))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(one.run("a", "x", lambda: work("second")))
        await asyncio.sleep(0.05)  # the other thread is free, and must not take it
        with pytest.raises(Busy, match="still being read"):
            await one.run("a", "x", lambda: work("third"))
        assert await one.run("b", "y", lambda: work("other")) == "other"
        hold.set()
        await asyncio.gather(first, second)
        assert await one.run("a", "x", lambda: work("again")) == "again"
        return done

    assert asyncio.run(main()) == ["other", "first", "second", "again"]


def test_a_few_addresses_do_not_fill_the_line() -> None:
    async def main() -> None:
        one = pool(each=8, total=16)
        hold = threading.Event()
        waiting = [
            asyncio.create_task(one.run(f"a{n % 4}", f"{n}", lambda: str(hold.wait(10))))
            for n in range(64)
        ]
        await asyncio.sleep(0.1)
        last = [asyncio.create_task(one.run(f"b{n}", f"b{n}", lambda: "read")) for n in range(4)]
        await asyncio.sleep(0.1)
        hold.set()
        assert await asyncio.gather(*last) == 4 * ["read"]
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


def test_what_waits_too_long_is_busy_and_errors_come_back() -> None:
    async def main() -> None:
        one = pool(seconds=0.05)
        slow = asyncio.create_task(one.run("a", "x", lambda: slept(0.3)))
        await asyncio.sleep(0.02)
        with pytest.raises(Busy):
            await one.run("b", "y", lambda: "")
        await slow
        with pytest.raises(ZeroDivisionError):
            await one.run("a", "x", lambda: str(1 // 0))

    asyncio.run(main())


def test_a_caller_who_leaves_frees_the_place() -> None:
    async def main() -> None:
        one = pool()
        hold = threading.Event()
        running = asyncio.create_task(one.run("a", "x", lambda: str(hold.wait(10))))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(one.run("a", "y", pytest.fail))
        await asyncio.sleep(0.05)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        hold.set()
        await running
        assert await one.run("a", "y", lambda: "now") == "now"

    asyncio.run(main())


# ------------------------------------------------------------------ whole pictures


def test_a_picture_that_does_not_end_costs_its_caller_a_second_and_no_thread() -> None:
    before = set(threading.enumerate())
    pictures = PicturePool(1, 0.2, nice=5)
    hold = threading.Event()
    for _ in range(2):  # as many as there are spare threads
        start = time.monotonic()
        with pytest.raises(ImageError, match="takes too long"):
            pictures.run(lambda: hold.wait(20))
        assert time.monotonic() - start < 2
        assert pictures.run(lambda: "read") == "read"
    with pytest.raises(ImageError, match="takes too long"):
        pictures.run(lambda: hold.wait(20))
    with pytest.raises(ImageError, match="busy"):  # three threads hang, and no fourth is made
        pictures.run(lambda: "read")
    hold.set()
    time.sleep(0.1)
    assert pictures.run(lambda: "read") == "read"
    assert len(set(threading.enumerate()) - before) == 1


def test_threads_without_work_end_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agegenderemo.web.guard.picture_pool._IDLE_SECONDS", 0.05)
    before = set(threading.enumerate())
    pictures = PicturePool(2, 10, nice=5)
    for _ in range(2):
        assert pictures.run(lambda: "read") == "read"
        time.sleep(0.3)
        assert set(threading.enumerate()) <= before


def test_pictures_are_read_behind_live_frames_and_their_errors_come_back() -> None:
    pictures = PicturePool(1, 10, nice=5)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    behind = pictures.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert behind == min(19, own + 5)
    for error in (ImageError("no picture"), TimeoutError("a socket's")):
        with pytest.raises(type(error), match=str(error)):
            pictures.run(partial(_raise, error))


def _raise(error: Exception) -> None:
    raise error
