"""What of one snapshot goes on in the next: connections, strategies, policies; and what is closed, and when."""

from __future__ import annotations

import asyncio
import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.carry_over import Kept, Leftovers, close, gone
from gateway.config import PolicyOptions, ProviderOptions, StrategyOptions
from gateway.contracts import Task
from gateway.exchange import Exchange
from gateway.snapshot import Snapshot
from gateway.telemetry.meters import Meters
from gateway.wiring import CannotWire, load, wire
from tests.stand_ins import snapshot

HERE = f"{__name__}:"
TEMPLATE: dict[str, Any] = {
    "server": {"max_in_flight": 10},
    "providers": {
        "a": {"type": "custom", "endpoint": "http://a/v1", "models": {"m": {}, "n": {"id": "theirs"}}},
        "b": {"type": "custom", "endpoint": "http://b/v1", "models": {"m": {}}},
        "e": {"type": "echo", "models": {"w": {}}},
    },
    "models": {"both": {"targets": [{"provider": "a", "model": "m"}, {"provider": "b", "model": "m"}]}},
    "policies": [{"type": HERE + "Closable", "word": "x"}, {"type": HERE + "Closable", "word": "x"}],
}


class Closable:
    """A policy that counts how often it was closed."""

    class Options(PolicyOptions):
        word: str = ""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.closed = 0
        made.append(self)

    def admit(self, exchange: Exchange) -> None: ...

    def close(self) -> None:
        self.closed += 1


class Complaining(Closable):
    def close(self) -> None:
        super().close()
        raise OSError("no")


class Waiting(Closable):
    async def close(self) -> None: ...  # type: ignore[override]


class Incomparable(Closable):
    class Options(Closable.Options):
        def __eq__(self, other: object) -> bool:
            raise TypeError


class ClosableStrategy:
    class Options(StrategyOptions):
        slots: int = 1

    def __init__(self, options: Options) -> None:
        self.closed = 0
        made.append(self)

    def choose(self, *_: Any) -> None: ...

    def close(self) -> None:
        self.closed += 1


class ClosableProvider:
    tasks = frozenset(Task)

    def __init__(self, name: str, options: ProviderOptions) -> None:
        self.name = name
        self.closed = 0
        made.append(self)

    def request(self, *_: Any) -> Any: ...

    def close(self) -> None:
        self.closed += 1


class Failing:
    def __init__(self, *_: Any) -> None:
        raise ValueError("sk-canary")


made: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()


@pytest.fixture
def wired(tmp_path: Path) -> Any:
    """Wire the template, changed: ``{"providers.a.timeouts": {...}}``; a value of None removes the key."""
    meters = Meters()

    def wired(changes: dict[str, Any] | None = None, previous: Snapshot | None = None) -> Snapshot:
        config = copy.deepcopy(TEMPLATE)
        for path, value in (changes or {}).items():
            *sections, key = path.split(".")
            section = config
            for step in sections:
                section = section.setdefault(step, {})
            section[key] = value
            if value is None:
                del section[key]
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        generation = 1 if previous is None else previous.generation + 1
        return wire(load([file], environ={}), generation, meters, previous=previous)

    return wired


def plans(one: Snapshot, other: Snapshot) -> set[str]:
    """Those that are the same object."""
    return {model for model, plan in one.plans.items() if other.plans.get(model) is plan}


def test_what_did_not_change_is_the_same_object(wired: Any) -> None:
    one = wired()
    two = wired(previous=one)
    assert two.generation == 2
    assert dict(two.providers) == dict(one.providers)
    assert all(two.providers[name] is one.providers[name] for name in one.providers)
    assert plans(one, two) == {"m", "n", "w", "both"} == set(two.plans)
    assert [policy for _, policy in two.policies] == [policy for _, policy in one.policies]
    assert two.policies[1][1] is not two.policies[2][1]  # equal settings, two objects
    assert two.hooks == one.hooks
    assert gone(one, two) == []


@pytest.mark.parametrize(
    ("change", "same_plans", "keeps_connections"),
    [
        ({"providers.a.timeouts": {"connect": "1s"}}, {"w"}, True),
        ({"providers.a.auth": {"type": "api_key", "key": "another-key"}}, {"w"}, True),
        ({"providers.a.headers": {"x-team": "blue"}}, {"w"}, True),
        ({"providers.a.models": {"m": {}, "n": {"id": "other"}}}, {"w"}, True),
        ({"providers.a.endpoint": "http://elsewhere/v1"}, {"w"}, False),
        ({"providers.a.connection_pool": {"keep_alive": "1s"}}, {"w"}, False),
        ({"providers.a.type": "openai"}, {"w"}, False),
    ],
)
def test_a_changed_provider_keeps_its_connections_if_they_lead_to_the_same_place(
    change: dict[str, Any], same_plans: set[str], keeps_connections: bool, wired: Any
) -> None:
    one = wired()
    two = wired(change, one)
    old, new = one.providers["a"], two.providers["a"]
    assert new.provider is not old.provider
    assert (new.upstream is old.upstream) == keeps_connections
    assert two.providers["b"] is one.providers["b"]
    assert plans(one, two) == same_plans
    assert [target.upstream for target in two.plans["both"].targets] == [new.upstream, one.providers["b"].upstream]
    assert gone(one, two) == ([] if keeps_connections else [old.upstream])


def test_clocks_of_the_new_configuration_hold_over_old_connections(wired: Any) -> None:
    one = wired()
    two = wired({"providers.a.timeouts": {"connect": "1s"}}, one)
    assert (one.plans["n"].targets[0].timeouts.connect, two.plans["n"].targets[0].timeouts.connect) == (10, 1)
    assert two.plans["n"].targets[0].model == "theirs"


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"models.both.targets": [{"provider": "b", "model": "m"}, {"provider": "a", "model": "m"}]}, {"both"}),
        ({"models.both.targets": [{"provider": "a", "model": "m"}]}, {"both"}),
        ({"models.both.targets": [{"provider": "a", "model": "n"}, {"provider": "b", "model": "m"}]}, {"both"}),
        ({"models.both.strategy": {"type": HERE + "ClosableStrategy"}}, {"both"}),
        ({"routing.default_strategy": {"type": HERE + "ClosableStrategy"}}, {"both", "m", "n", "w"}),
        ({"models.more": {"targets": [{"provider": "a", "model": "n"}]}}, set()),
        ({"models.m": {"targets": [{"provider": "a"}, {"provider": "b"}]}}, set()),  # written out, and as before
        ({"models.m": {"targets": [{"provider": "a"}]}}, {"m"}),
    ],
)
def test_a_plan_goes_on_if_targets_and_strategy_are_the_same(
    change: dict[str, Any], changed: set[str], wired: Any
) -> None:
    one = wired()
    two = wired(change, one)
    assert plans(one, two) == set(one.plans) - changed
    for model in plans(one, two):
        assert two.plans[model].strategy is one.plans[model].strategy


def test_a_strategys_settings_count(wired: Any) -> None:
    def strategy(slots: int) -> dict[str, Any]:
        return {"models.both.strategy": {"type": HERE + "ClosableStrategy", "slots": slots}}

    one = wired(strategy(1))
    two = wired(strategy(1), one)
    three = wired(strategy(2), two)
    assert plans(one, two) == set(two.plans)
    assert plans(two, three) == set(two.plans) - {"both"}
    assert gone(one, two) == []
    assert gone(two, three) == [two.plans["both"].strategy]


def test_policies_go_on_by_their_settings_wherever_they_stand(wired: Any) -> None:
    one = wired()
    first, second = (policy for _, policy in one.policies[1:])
    reordered = [{"type": HERE + "Closable", "word": "new"}, {"type": HERE + "Closable", "word": "x"}]
    two = wired({"policies": reordered}, one)
    new, kept = (policy for _, policy in two.policies[1:])
    assert (new.options.word, kept) == ("new", first)
    assert gone(one, two) == [second]
    other_kind = wired({"policies": [{"type": HERE + "Complaining", "word": "x"}]}, one)
    assert gone(one, other_kind) == [first, second]


def test_overload_goes_on_while_its_bounds_are_the_same(wired: Any) -> None:
    one = wired()
    assert wired(previous=one).policies[0][1] is one.policies[0][1]
    assert wired({"server.max_in_flight": 11}, one).policies[0][1].max_in_flight == 11


def test_what_cannot_be_compared_has_changed(wired: Any) -> None:
    odd = {"policies": [{"type": HERE + "Incomparable"}]}
    one = wired(odd)
    two = wired(odd, one)
    assert gone(one, two) == [one.policies[1][1]]


def test_a_removed_provider_and_one_that_comes_back(wired: Any) -> None:
    one = wired()
    without = wired({"providers.b": None, "models.both.targets": [{"provider": "a", "model": "m"}]}, one)
    assert gone(one, without) == [one.providers["b"].upstream]
    again = wired(previous=without)
    assert again.providers["b"].upstream is not one.providers["b"].upstream
    assert again.providers["a"] is one.providers["a"]
    assert one.upstreams[1] not in again.upstreams


def test_everything_is_gone_at_the_end(wired: Any) -> None:
    one = wired({"providers.p": {"type": HERE + "ClosableProvider", "models": {"q": {}}}})
    last = gone(one, None)
    assert set(map(id, [*one.upstreams, *made])) == set(map(id, last))
    assert len(last) == len(set(map(id, last)))


def test_endpoints_stay(wired: Any) -> None:
    one = wired()
    two = wired({"providers.a.timeouts": {"connect": "1s"}}, one)
    assert (two.endpoints, two.pages) == (one.endpoints, one.pages)
    assert all(two.pages[path] is page for path, page in one.pages.items())


def test_a_wiring_that_fails_leaves_the_old_snapshot_and_nothing_else(wired: Any) -> None:
    one = wired({"policies": [{"type": HERE + "Closable", "word": "old"}]})
    before = {name: id(getattr(one, name)) for name in Snapshot.__dataclass_fields__}
    made.clear()
    broken = {
        "providers.p": {"type": HERE + "ClosableProvider", "models": {"q": {}}},
        "policies": [
            {"type": HERE + "Closable", "word": "old"},
            {"type": HERE + "Closable", "word": "new"},
            {"type": HERE + "Complaining", "word": "new"},
            {"type": HERE + "Failing"},
        ],
        "models.both.strategy": {"type": HERE + "ClosableStrategy"},
    }
    with pytest.raises(CannotWire, match=r"policies\[3\]: cannot be built: ValueError"):
        wired(broken, one)
    assert {type(each).__name__: each.closed for each in made} == {
        "ClosableProvider": 1,
        "Closable": 1,
        "Complaining": 1,
        "ClosableStrategy": 1,
    }
    assert one.policies[1][1].closed == 0
    assert before == {name: id(getattr(one, name)) for name in Snapshot.__dataclass_fields__}
    two = wired({"policies": [{"type": HERE + "Closable", "word": "old"}]}, one)
    assert plans(one, two) == set(one.plans)


def test_a_close_that_would_have_to_be_waited_for_is_refused(wired: Any) -> None:
    with pytest.raises(CannotWire, match=r"policies\[0\]: Waiting.close must be a plain function"):
        wired({"policies": [{"type": HERE + "Waiting"}]})


def test_closing_goes_on_whatever_one_of_them_says(wired: Any, caplog: pytest.LogCaptureFixture) -> None:
    one = wired({"policies": [{"type": HERE + "Complaining"}, {"type": HERE + "Closable"}]})
    with caplog.at_level(logging.ERROR, logger="gateway"):
        asyncio.run(close(gone(one, None)))
    assert [each.closed for each in made] == [1, 1]
    assert [record.getMessage() for record in caplog.records] == ["Complaining cannot be closed"]


def test_what_is_left_is_free_when_nobody_old_enough_runs(wired: Any) -> None:
    one = wired()
    two = wired({"providers.a.endpoint": "http://two/v1"}, one)
    three = wired({"providers.a.endpoint": "http://three/v1"}, two)
    left = Leftovers()
    left.leave(one, two)
    left.leave(two, three)
    assert left.take(1) == []
    assert left.take(2) == [one.providers["a"].upstream]
    assert left.take(2) == []
    assert left.take(3) == [two.providers["a"].upstream]
    assert left.take(99) == []


def test_a_snapshot_made_by_hand_offers_nothing() -> None:
    kept = Kept(snapshot())
    assert kept.provider("a", ProviderOptions(type="custom")) is None
    assert kept.upstream("a", ProviderOptions(type="custom")) is None
    assert kept.policy(PolicyOptions(type="x")) is None
    assert gone(snapshot(), None) == []
