"""Turns: one address with many names does not starve another."""

import asyncio
import threading
import time

import pytest

from agegenderemo.web.guard.fair import Busy, FairPool

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


def test_a_session_has_one_frame_and_an_address_bounded_ones() -> None:
    async def main() -> None:
        one = pool(each=2)
        hold = threading.Event()
        running = asyncio.create_task(one.run("a", "x", lambda: str(hold.wait(10))))
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="still being read"):
            await one.run("a", "x", lambda: "")
        waiting = [asyncio.create_task(one.run("a", name, lambda: "")) for name in "yz"]
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="other viewers"):
            await one.run("a", "w", lambda: "")
        hold.set()
        await asyncio.gather(running, *waiting)
        assert await one.run("a", "x", lambda: "again") == "again"

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
