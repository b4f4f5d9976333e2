"""The end of a drain on the timer wheel: every guarded wait ends by it, but what is being said is said to its end."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deadlines import Clock, DeadlinePassed, TimerWheel
from tests.relay.clock import HandClock, rest
from tests.relay.stage import on_stage


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def wheel_of(clock: HandClock) -> TimerWheel:
    return TimerWheel(tick=0.02, now=clock.now, call_later=clock.call_later)


async def waits(wheel: TimerWheel, *clocks: Clock, latest: float = float("inf")) -> Clock | None:
    """Wait by these clocks, one after the other; which ran out."""
    try:
        with wheel.guard(latest=latest) as deadline:
            for each in clocks:
                deadline.set(each, 60)
                await asyncio.sleep(0)
            await asyncio.Event().wait()
    except DeadlinePassed as passed:
        return passed.clock
    return None


WAITS = [each for each in Clock if each is not Clock.CLIENT_WRITE]


@pytest.mark.parametrize("which", WAITS)
@on_stage
async def test_a_wait_under_way_ends_within_a_tick(which: Clock) -> None:
    clock = HandClock()
    wheel = wheel_of(clock)
    task = asyncio.create_task(waits(wheel, which, latest=clock.time + 100))
    await rest()
    wheel.end()
    clock.skip(0.03)
    await rest()
    assert task.done()
    assert task.result() is Clock.DRAIN
    assert len(wheel) == 0


@on_stage
async def test_a_wait_that_begins_later_ends_too() -> None:
    clock = HandClock()
    wheel = wheel_of(clock)
    wheel.end()
    clock.skip(5)
    task = asyncio.create_task(waits(wheel, Clock.CONNECT))
    await rest()
    clock.skip(0.03)
    await rest()
    assert task.result() is Clock.DRAIN


@on_stage
async def test_what_is_being_written_goes_on_and_its_next_wait_ends() -> None:
    clock = HandClock()
    wheel = wheel_of(clock)
    next_part, taken = asyncio.Event(), asyncio.Event()

    async def relays() -> list[object]:
        said: list[object] = []
        try:
            with wheel.guard(latest=clock.time + 100) as deadline:
                deadline.set(Clock.CLIENT_WRITE, 60)
                await next_part.wait()
                deadline.set(Clock.CLIENT_WRITE, 60)
                await taken.wait()
                said.append("written")
                deadline.set(Clock.IDLE, 60)
                await asyncio.Event().wait()
        except DeadlinePassed as passed:
            said.append(passed.clock)
        return said

    task = asyncio.create_task(relays())
    await rest()
    wheel.end()
    clock.skip(30)
    await rest()
    assert not task.done()
    next_part.set()
    await rest()
    clock.skip(50)
    await rest()
    assert not task.done()
    taken.set()
    await rest()
    clock.skip(0.03)
    await rest()
    assert task.result() == ["written", Clock.DRAIN]


@on_stage
async def test_a_client_that_takes_nothing_still_runs_out() -> None:
    clock = HandClock()
    wheel = wheel_of(clock)
    task = asyncio.create_task(waits(wheel, Clock.CLIENT_WRITE))
    await rest()
    wheel.end()
    clock.skip(59)
    await rest()
    assert not task.done()
    clock.skip(1.1)
    await rest()
    assert task.result() is Clock.CLIENT_WRITE


@on_stage
async def test_what_only_watches_is_left_alone() -> None:
    clock = HandClock()
    wheel = wheel_of(clock)
    fired: list[float] = []
    watch = wheel.watch(lambda: fired.append(clock.time))
    watch.set(Clock.IDLE, 10)
    wheel.end()
    clock.skip(9)
    assert fired == []
    watch.set(Clock.IDLE, 10)
    clock.skip(9.9)
    assert fired == []
    clock.skip(0.2)
    assert len(fired) == 1


@on_stage
async def test_a_clock_that_is_over_already_keeps_its_name() -> None:
    """Whatever ran out before the drain is told as what it was."""
    clock = HandClock()
    wheel = wheel_of(clock)
    task = asyncio.create_task(waits(wheel, Clock.IDLE))
    await rest()
    clock.skip(61)
    wheel.end()
    await rest()
    assert task.result() is Clock.IDLE
