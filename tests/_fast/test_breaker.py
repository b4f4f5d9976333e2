"""The breaker's states as their user sees them, and every step beside the twin's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _fast
from tests._fast import forks, twins

SECOND = 1_000_000_000
TICK = 100_000_000
NOW = 1_000_000 * SECOND


@pytest.fixture
def breaker(fast: ModuleType) -> Any:
    return fast.Breaker(fast.Arena(), "target")


def rule(fast: ModuleType, **changed: Any) -> Any:
    values = {"rate": 0.5, "window": 10 * SECOND, "minimum": 4, "consecutive": 3, "open_for": 5 * SECOND, "probes": 2}
    return fast.BreakerRule(**{**values, "probe_time": 20 * SECOND, **changed})


def opened(breaker: Any, one: Any, now: int = NOW) -> Any:
    for _ in range(3):
        breaker.failure(now, one, breaker.allow(now, one))
    assert breaker.state(now, one) == "open"
    return breaker


def test_consecutive_failures_open_it_and_one_report_says_so(fast: ModuleType, breaker: Any) -> None:
    one = rule(fast, rate=0)
    outcomes = [breaker.failure, breaker.failure, breaker.success, breaker.failure, breaker.failure, breaker.failure]
    assert [bool(report(NOW, one, breaker.allow(NOW, one))) for report in outcomes] == [False] * 5 + [True]
    assert breaker.allow(NOW, one) == -1
    assert breaker.look(NOW, one) == ("open", 0, 0, 0, 0, 0, 5 * SECOND)


def test_the_rate_opens_it_from_the_minimum_on_whatever_the_last_call_was(fast: ModuleType, breaker: Any) -> None:
    one = rule(fast, consecutive=0)
    for report in (breaker.failure, breaker.failure, breaker.success):
        assert not report(NOW, one, breaker.allow(NOW, one))
    assert breaker.success(NOW, one, breaker.allow(NOW, one))
    assert breaker.state(NOW, one) == "open"


def test_a_new_window_forgets_the_counts_but_not_the_row(fast: ModuleType, breaker: Any) -> None:
    one = rule(fast, consecutive=4)
    for _ in range(3):
        breaker.failure(NOW, one, breaker.allow(NOW, one))
    assert breaker.look(NOW, one)[:4] == ("closed", 3, 3, 3)
    breaker.success(NOW - 59 * SECOND, rule(fast, minimum=9), breaker.allow(NOW, one))
    assert breaker.look(NOW, one)[:4] == ("closed", 4, 3, 0)
    breaker.failure(NOW + 10 * SECOND, one, breaker.allow(NOW, one))
    assert breaker.look(NOW, one)[:4] == ("closed", 1, 1, 1)


def test_open_for_its_time_and_less_than_a_tick_longer(fast: ModuleType, breaker: Any) -> None:
    one, now = rule(fast), NOW + 12_345_678
    opened(breaker, one, now)
    assert breaker.allow(now + 5 * SECOND, one) == -1
    assert breaker.state(now + 5 * SECOND + TICK, one) == "half_open"
    assert breaker.allow(now + 5 * SECOND + TICK, one) >= 0


def test_a_reload_that_wants_fewer_probes_than_have_succeeded_does_not_shut_it_for_ever(
    fast: ModuleType, breaker: Any
) -> None:
    three, one, then = rule(fast, probes=3), rule(fast, probes=1), NOW + 5 * SECOND
    opened(breaker, three)
    first, second = breaker.allow(then, three), breaker.allow(then, three)
    assert not breaker.success(then, three, first)
    assert breaker.allow(then, one) == -1  # one is out
    assert not breaker.withdraw(then, one, second)
    last = breaker.allow(then, one)
    assert last >= 0
    assert breaker.allow(then, one) == -1
    assert breaker.success(then, one, last)
    assert breaker.state(then, one) == "closed"


def test_as_many_probes_as_the_rule_says_and_their_success_closes_it(fast: ModuleType, breaker: Any) -> None:
    one, then = rule(fast), NOW + 5 * SECOND
    opened(breaker, one)
    permits = [breaker.allow(then, one) for _ in range(4)]
    assert [permit >= 0 for permit in permits] == [True, True, False, False]
    assert breaker.look(then, one) == ("half_open", 0, 0, 0, 2, 0, 0)
    assert not breaker.success(then, one, permits[0])
    assert breaker.allow(then, one) == -1
    assert breaker.success(then, one, permits[1])
    assert breaker.look(then, one) == ("closed", 0, 0, 0, 0, 0, 0)


def test_one_failed_probe_opens_it_again_and_the_other_cannot_close_it(fast: ModuleType, breaker: Any) -> None:
    one, then = rule(fast), NOW + 5 * SECOND
    opened(breaker, one)
    first, second = breaker.allow(then, one), breaker.allow(then, one)
    assert breaker.failure(then, one, first)
    assert not breaker.success(then, one, second)
    assert breaker.look(then, one)[0] == "open"
    later = then + 5 * SECOND
    third, fourth = breaker.allow(later, one), breaker.allow(later, one)
    assert not breaker.success(later, one, second)
    assert not breaker.failure(later, one, first)
    assert not breaker.success(later, one, third)
    assert breaker.success(later, one, fourth)


def test_a_probe_not_reported_failed_at_its_deadline(fast: ModuleType, breaker: Any) -> None:
    one, then = rule(fast, probes=1), NOW + 5 * SECOND
    lost = opened(breaker, one).allow(then, one)
    assert breaker.state(then + 20 * SECOND - 1, one) == "half_open"
    assert breaker.look(then + 20 * SECOND, one)[0::6] == ("open", 5 * SECOND)
    assert breaker.allow(then + 24 * SECOND, one) == -1
    probe = breaker.allow(then + 25 * SECOND, one)
    assert not breaker.success(then + 25 * SECOND, one, lost)
    assert breaker.success(then + 25 * SECOND, one, probe)


def test_a_probe_reported_late_failed_though_the_round_goes_on(fast: ModuleType, breaker: Any) -> None:
    one, then = rule(fast), NOW + 5 * SECOND
    early = opened(breaker, one).allow(then, one)
    breaker.allow(then + 19 * SECOND, one)
    assert breaker.success(then + 21 * SECOND, one, early)
    assert breaker.state(then + 21 * SECOND, one) == "open"


def test_a_withdrawn_probe_is_given_again(fast: ModuleType, breaker: Any) -> None:
    one, then = rule(fast, probes=1), NOW + 5 * SECOND
    permit = opened(breaker, one).allow(then, one)
    assert not breaker.withdraw(then, one, permit)
    assert not breaker.withdraw(then, one, permit)
    again = breaker.allow(then, one)
    assert (again >= 0, breaker.allow(then, one)) == (True, -1)
    assert breaker.success(then, one, again)
    assert not breaker.withdraw(then, one, breaker.allow(then, one))
    assert breaker.look(then, one)[1] == 0


def test_by_hand(fast: ModuleType, breaker: Any) -> None:
    one = rule(fast)
    permit = breaker.allow(NOW, one)
    breaker.force_open(NOW)
    assert breaker.look(NOW + 10**15, one) == ("open", 0, 0, 0, 0, 0, -1)
    assert breaker.allow(NOW + 10**15, one) == -1
    breaker.force_close(NOW)
    assert not breaker.failure(NOW, rule(fast, consecutive=1), permit)
    breaker.force_open(NOW, 3 * SECOND)
    assert breaker.look(NOW, one)[0::6] == ("open", 3 * SECOND)
    assert breaker.allow(NOW + 3 * SECOND, one) >= 0


def test_full_counts_are_halved_both_and_a_refused_call_has_nothing_to_report(fast: ModuleType, breaker: Any) -> None:
    one = rule(fast, consecutive=0, minimum=4000)
    for number in range(8192):
        (breaker.failure if number % 4 == 0 else breaker.success)(NOW, one, breaker.allow(NOW, one))
    assert breaker.look(NOW, one)[:3] == ("closed", 4096, 1024)
    assert not breaker.failure(NOW, rule(fast, consecutive=1), -1)


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 1.1}, {"rate": float("nan")}, {"minimum": 0}, {"minimum": 4096}, {"consecutive": 64}, {"probes": 0}]
    + [{"probes": 256}, {"window": TICK - 1}, {"open_for": 13 * 3600 * SECOND}, {"probe_time": 0}],
)
def test_impossible_rules(fast: ModuleType, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        rule(fast, **wrong)


RULES = st.fixed_dictionaries(
    {
        "rate": st.sampled_from([0, 0.3, 0.5, 1]),
        "window": st.sampled_from([TICK, SECOND, 7 * SECOND + 1]),
        "minimum": st.integers(1, 5),
        "consecutive": st.sampled_from([0, 1, 2, 5]),
        "open_for": st.sampled_from([TICK, SECOND, 3 * SECOND - 1]),
        "probes": st.integers(1, 3),
        "probe_time": st.sampled_from([TICK, SECOND, 4 * SECOND]),
    }
)
STEPS = st.tuples(
    st.sampled_from(
        ["allow"] * 4 + ["success"] * 3 + ["failure"] * 4 + ["withdraw"] * 2 + ["force_open", "force_close", "look"]
    ),
    st.integers(-5, 30),  # ticks that pass
    st.integers(0, 99),  # which permit
    st.integers(0, 1),  # which rule
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(rules=st.tuples(RULES, RULES), steps=st.lists(STEPS, max_size=60))
def test_every_step_is_the_twins(rules: tuple[dict[str, Any], ...], steps: list[tuple[str, int, int, int]]) -> None:
    seen = [walk(module, rules, steps) for module in (_fast, twins)]
    assert seen[0] == seen[1]


def walk(module: Any, rules: tuple[dict[str, Any], ...], steps: list[tuple[str, int, int, int]]) -> list[object]:
    breaker, made = module.Breaker(module.Arena(), "target"), [module.BreakerRule(**values) for values in rules]
    now, permits, seen = NOW, [0], list[object]()
    for what, passed, which, of in steps:
        now += passed * TICK // 3
        if what == "allow":
            permits.append(breaker.allow(now, made[of]))
            seen.append(permits[-1])
        elif what in ("success", "failure", "withdraw"):
            seen.append(bool(getattr(breaker, what)(now, made[of], permits[-1 - which % min(len(permits), 4)])))
        elif what != "look":
            getattr(breaker, what)(now)
        seen.append((breaker.state(now, made[of]), breaker.look(now, made[of])))
    return seen


def test_workers_agree_and_one_of_them_sees_it_open() -> None:
    arena, one = _fast.Arena(seed=bytes(16)), rule(_fast, consecutive=63, rate=0)
    told = _fast.Words(arena, "told", 1)

    def work() -> None:
        breaker = _fast.Breaker(arena, "target")
        for _ in range(20):
            told.add(0, int(breaker.failure(NOW, one, breaker.allow(NOW, one))))

    forks.finish(*(forks.fork(work) for _ in range(4)))
    assert told.load(0) == 1
    assert _fast.Breaker(arena, "target").allow(NOW, one) == -1
    assert _fast.Breaker(arena, "other").allow(NOW, one) >= 0
