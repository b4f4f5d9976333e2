"""The timer wheel against a plain model, and the guard against everything that may cancel a task."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import weakref

import pytest

from gateway.deadlines import Clock, Deadline, DeadlinePassed, TimerWheel
from tests.relay.clock import HandClock, rest
from tests.relay.stage import on_stage

TICK = 0.02


class Modelled:
    """A deadline beside what it should do."""

    def __init__(self, wheel: TimerWheel, clock: HandClock) -> None:
        self.due = math.inf
        self.fired: list[float] = []
        self._clock = clock
        self.deadline = wheel.watch(self._fire)

    def set(self, seconds: float) -> None:
        self.deadline.set(Clock.IDLE, seconds)
        self.due = self._clock.time + max(0.0, seconds)

    def stop(self) -> None:
        self.deadline.stop()
        self.due = math.inf

    def _fire(self) -> None:
        now = self._clock.time
        assert self.due <= now <= self.due + TICK + 1e-9, (self.due, now)
        self.due = math.inf
        self.fired.append(now)


@pytest.mark.parametrize("seed", range(20))
@on_stage
async def test_any_order_of_setting_moving_and_stopping(seed: int) -> None:
    random_ = random.Random(seed)
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    all_of_them = [Modelled(wheel, clock) for _ in range(30)]
    for _ in range(300):
        for each in random_.sample(all_of_them, 3):
            if random_.random() < 0.2:
                each.stop()
            else:
                each.set(random_.choice((0.0, -1.0, random_.random() * 0.1, random_.random() * 5)))
        clock.skip(random_.random() * 0.2)
        for each in all_of_them:
            assert each.due > clock.time - TICK, "it is overdue"
        assert len(wheel) == sum(each.due < math.inf for each in all_of_them)
    clock.skip(10)
    assert len(wheel) == 0
    assert sum(len(each.fired) for each in all_of_them) > 100


@on_stage
async def test_a_deadline_that_is_moved_on_fires_once_at_its_last_moment() -> None:
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    fired: list[float] = []
    deadline = wheel.watch(lambda: fired.append(clock.time))
    for _ in range(1000):
        deadline.set(Clock.IDLE, 1.0)
        clock.skip(0.01)
        assert len(wheel) == 1
    expected = clock.time - 0.01 + 1.0
    clock.skip(5)
    assert len(fired) == 1
    assert expected <= fired[0] <= expected + TICK


@on_stage
async def test_one_that_moves_far_on_does_not_take_the_alarm_from_the_next() -> None:
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    moving, near = Modelled(wheel, clock), Modelled(wheel, clock)
    moving.set(1.0)
    near.set(2.0)
    moving.set(500.0)
    clock.skip(3.0)
    assert len(near.fired) == 1
    assert not wheel.asleep


@on_stage
async def test_a_deadline_that_fires_may_set_itself_or_others_again() -> None:
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    fired: list[float] = []

    def again() -> None:
        fired.append(clock.time)
        if len(fired) < 50:
            deadline.set(Clock.IDLE, -1.0)

    deadline = wheel.watch(again)
    deadline.set(Clock.IDLE, 0.5)
    clock.skip(1.0)
    assert len(fired) == 50
    assert not [handle for _, _, handle in clock._due if handle._function]


@on_stage
async def test_what_was_stopped_holds_no_memory_and_the_wheel_sleeps() -> None:
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    kept = [wheel.watch(lambda: None) for _ in range(1000)]
    references = [weakref.ref(_Watched(wheel)) for _ in range(10)]
    for number, deadline in enumerate(kept):
        deadline.set(Clock.TOTAL, 600 + number)
    for deadline in kept:
        deadline.stop()
    gc.collect()
    assert len(wheel) == 0
    assert all(reference() is None for reference in references)
    clock.skip(2000)
    assert wheel.asleep


class _Watched:
    """Gone, with its deadline, once nobody else refers to it."""

    def __init__(self, wheel: TimerWheel) -> None:
        deadline = wheel.watch(self.fire)
        deadline.set(Clock.IDLE, 100)
        deadline.stop()

    def fire(self) -> None:
        raise AssertionError


@on_stage
async def test_deadlines_of_one_slot_may_stop_and_set_each_other() -> None:
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    fired: list[str] = []
    deadlines: dict[str, Deadline] = {}

    def fire(name: str, other: str) -> None:
        fired.append(name)
        deadlines[other].stop()
        deadlines["later"].set(Clock.IDLE, 1.0)

    deadlines["a"] = wheel.watch(lambda: fire("a", "b"))
    deadlines["b"] = wheel.watch(lambda: fire("b", "a"))
    deadlines["later"] = wheel.watch(lambda: fired.append("later"))
    for deadline in deadlines.values():
        deadline.set(Clock.IDLE, 0.5)
    clock.skip(0.6)
    assert len(set(fired) & {"a", "b"}) == 1
    clock.skip(2)
    assert fired[-1] == "later"
    assert len(wheel) == 0


@on_stage
async def test_latest_bounds_every_clock_and_gives_it_its_name() -> None:
    clock = HandClock()
    wheel = TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)
    deadline = wheel.watch(lambda: None)
    deadline.latest = clock.time + 5
    deadline.set(Clock.IDLE, 4)
    assert (deadline.clock, deadline.at) == (Clock.IDLE, clock.time + 4)
    deadline.set(Clock.IDLE, 6)
    assert (deadline.clock, deadline.at) == (Clock.TOTAL, clock.time + 5)


@on_stage
async def test_a_guard_turns_its_own_cancellation_into_deadline_passed() -> None:
    clock, wheel = _guarding()

    async def work() -> str:
        try:
            with wheel.guard() as deadline:
                deadline.set(Clock.CONNECT, 1.0)
                await asyncio.get_running_loop().create_future()
        except DeadlinePassed as passed:
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(0)  # the task is as good as new
            return passed.clock.value
        return "through"

    task = asyncio.create_task(work())
    await clock.advance(2)
    assert await task == "connect"
    assert len(wheel) == 0


@on_stage
async def test_a_cancellation_by_others_passes_through() -> None:
    clock, wheel = _guarding()
    task = asyncio.create_task(_guarded(wheel))
    await clock.advance(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(wheel) == 0


@pytest.mark.parametrize("first", ["deadline", "other"])
@on_stage
async def test_both_at_once_is_a_cancellation(first: str) -> None:
    clock, wheel = _guarding()
    guard = wheel.guard()
    task = asyncio.create_task(_guarded(wheel, guard=guard))
    await rest()
    for who in ("deadline", "other") if first == "deadline" else ("other", "deadline"):
        task.cancel() if who == "other" else guard.run_out()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    del clock


@on_stage
async def test_a_guard_inside_a_task_that_is_being_cancelled_still_works() -> None:
    clock, wheel = _guarding()
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            try:
                with wheel.guard() as deadline:
                    deadline.set(Clock.CLIENT_WRITE, 1.0)
                    await asyncio.get_running_loop().create_future()
            except DeadlinePassed:
                seen.append("passed")
            raise

    task = asyncio.create_task(work())
    await rest()
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()
    assert seen == ["passed"]


@on_stage
async def test_a_result_that_comes_with_the_deadline_leaves_the_task_usable() -> None:
    _, wheel = _guarding()
    guard = wheel.guard()
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    outcome: list[object] = []

    async def work() -> None:
        try:
            with guard as deadline:
                deadline.set(Clock.IDLE, 1.0)
                outcome.append(await future)
        except DeadlinePassed as passed:
            outcome.append(passed.clock)
        await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await rest()
    future.set_result(1)
    guard.run_out()
    await task
    assert outcome == [Clock.IDLE]
    assert task.cancelling() == 0


def _guarding() -> tuple[HandClock, TimerWheel]:
    clock = HandClock()
    return clock, TimerWheel(tick=TICK, now=clock.now, call_later=clock.call_later)


async def _guarded(wheel: TimerWheel, guard: object = None) -> None:
    with guard or wheel.guard() as deadline:  # type: ignore[attr-defined]
        deadline.set(Clock.IDLE, 1.0)
        await asyncio.get_running_loop().create_future()


def test_on_a_real_loop_it_fires_in_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        wheel = TimerWheel()
        over: asyncio.Future[float] = loop.create_future()
        deadline = wheel.watch(lambda: over.set_result(wheel.now()))
        deadline.set(Clock.IDLE, 0.05)
        due = deadline.at
        return await over - due

    assert 0 <= asyncio.run(main()) < 0.5
