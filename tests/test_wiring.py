"""From a configuration to a snapshot: which model is served by whom, and what cannot be wired."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gateway import catalog, wiring
from gateway._fast import Concurrency, LimitTable
from gateway.config import PolicyOptions, ProviderOptions, StrategyOptions, render_problems
from gateway.contracts import Phase, Task
from gateway.exchange import Exchange
from gateway.providers.echo import Echo
from gateway.snapshot import Snapshot
from gateway.telemetry.meters import Meters
from gateway.upstream.fast_client import FastUpstream
from gateway.upstream.local import LocalUpstream
from gateway.wiring import CannotWire, load, wire


@pytest.fixture
def wired(tmp_path: Path) -> Any:
    def wired(meters: Meters | None = None, **sections: Any) -> Snapshot:
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml.safe_dump(sections, sort_keys=False))
        return wire(load([file], environ={}), meters=meters)

    return wired


def custom(*models: str, **ids: str) -> dict[str, Any]:
    return {
        "type": "custom",
        "endpoint": "http://nowhere/v1",
        "models": {**{model: {} for model in models}, **{model: {"id": id_} for model, id_ in ids.items()}},
    }


def served(snapshot: Snapshot) -> dict[str, list[str]]:
    return {
        name: [f"{target.provider.name}/{target.model}" for target in plan.targets]
        for name, plan in snapshot.plans.items()
    }


def test_models_are_served_under_their_own_names_by_all_who_list_them(wired: Any) -> None:
    snapshot = wired(providers={"a": custom("x", "y"), "b": custom("z", x="their-x")})
    assert served(snapshot) == {"x": ["a/x", "b/their-x"], "y": ["a/y"], "z": ["b/z"]}


def test_an_alias_stands_beside_and_a_route_of_the_same_name_takes_the_place(wired: Any) -> None:
    providers = {"a": custom("x", y="their-y"), "b": custom("x")}
    models = {"smart": {"targets": [{"provider": "a", "model": "y"}]}, "x": {"targets": [{"provider": "b"}]}}
    snapshot = wired(providers=providers, models=models)
    assert served(snapshot) == {"y": ["a/their-y"], "smart": ["a/their-y"], "x": ["b/x"]}


def test_one_provider_is_one_object_with_one_upstream_and_each_model_has_its_own_strategy(wired: Any) -> None:
    snapshot = wired(providers={"a": custom("x", "y"), "e": {"type": "echo", "models": {"z": {}}}})
    x, y, z = (snapshot.plans[name] for name in "xyz")
    assert x.targets[0].provider is y.targets[0].provider
    assert x.targets[0].upstream is y.targets[0].upstream
    assert x.strategy is not y.strategy
    assert isinstance(x.targets[0].upstream, FastUpstream)
    assert isinstance(z.targets[0].upstream, LocalUpstream)
    assert isinstance(z.targets[0].provider, Echo)
    assert len(snapshot.upstreams) == 2


def test_settings_arrive(wired: Any) -> None:
    provider = {**custom("x"), "timeouts": {"connect": "1s", "first_content": "2s", "idle": "3s", "total": "4s"}}
    snapshot = wired(
        providers={"a": provider},
        server={"max_body": "1KiB", "max_answer": "2KiB", "body_timeout": "5s"},
        streaming={"keepalive_after": "6s", "client_write": "7s", "event_hold": "2KiB", "drop_malformed": False},
    )
    clocks, limits = snapshot.plans["x"].targets[0].timeouts, snapshot.limits
    assert (clocks.connect, clocks.first_content, clocks.idle, clocks.total) == (1, 2, 3, 4)
    assert (limits.max_body, limits.max_answer, limits.body_timeout) == (1024, 2048, 5)
    assert (limits.keepalive_after, limits.client_write, limits.event_hold, limits.drop_malformed) == (
        6,
        7,
        2048,
        False,
    )


def test_every_endpoint_and_page_has_its_paths(wired: Any) -> None:
    snapshot = wired()
    assert {path: endpoint.task for path, endpoint in snapshot.endpoints.items()} == {
        f"/v1/{task.value}": task for task in Task
    }
    pages = "/v1/models /v1/models/* /health /health/live /live /health/ready /ready /metrics /openapi.json"
    assert set(snapshot.pages) == set(pages.split())


class Page:
    def __init__(self, *paths: str) -> None:
        self.paths = paths

    async def show(self, *_: Any) -> Any: ...


@pytest.mark.parametrize("path", ["/health", "/v1/chat/completions"])
def test_nobody_takes_the_path_of_another_endpoint(path: str, wired: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "zz"):
        with monkeypatch.context() as patch:
            patch.setitem(catalog.endpoints._known, name, lambda: Page("/mine", path))
            with pytest.raises(CannotWire, match=f"{path} is served by another one already"):
                wired()


def test_an_endpoint_that_cannot_be_loaded_is_said(wired: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no.such.module:Name", catalog.endpoints.group)
    monkeypatch.setattr(catalog, "entry_points", lambda group, name="broken": [broken] if name == "broken" else [])
    with pytest.raises(CannotWire, match='endpoint "broken" cannot be loaded: ModuleNotFoundError'):
        wired()


class Fine:
    tasks = frozenset(Task)

    def __init__(self, name: str, options: ProviderOptions) -> None:
        self.name = name

    def request(self, *_: Any) -> Any: ...


class Shy(Fine):
    request = None  # type: ignore[assignment]


class Failing(Fine):
    def __init__(self, name: str, options: ProviderOptions) -> None:
        raise ValueError(f"sk-canary in {options}")


class Leaving(Fine):
    def __init__(self, name: str, options: ProviderOptions) -> None:
        sys.exit(0)


class Admit:
    def __init__(self, options: PolicyOptions) -> None:
        self.options = options

    def count_with(self, meters: Meters) -> None:
        self.asked = meters.counter("acme_asked_total", "Asked.").cell()

    def admit(self, exchange: Exchange) -> None: ...


class Misspelt:
    def __init__(self, options: PolicyOptions) -> None: ...

    def on_heads(self, exchange: Exchange) -> None: ...


class Undecided:
    class Options(StrategyOptions):
        pass

    def __init__(self, options: StrategyOptions) -> None: ...


class Idle(Fine):
    tasks = None  # type: ignore[assignment]


class Renamed(Fine):
    def __init__(self, name: str, options: ProviderOptions) -> None:
        self.name = "another"


class AsyncRequest(Fine):
    async def request(self, *_: Any) -> Any: ...


class AsyncPerform(Fine):
    async def perform(self, *_: Any) -> Any: ...


class AsyncAdmit(Admit):
    async def admit(self, exchange: Exchange) -> None: ...  # type: ignore[override]


class NoFunction(Admit):
    settle = 5


class AsyncChoose:
    async def choose(self, *_: Any) -> None: ...


class Ours(Admit):
    def count_with(self, meters: Meters) -> None:
        meters.counter("llm_gateway_requests_total", "Not theirs.", ("mine",))


def no_class(*_: Any) -> None: ...


HERE = f"{__name__}:"


def test_a_policy_takes_part_in_the_phases_it_has_hooks_for_and_counts(wired: Any) -> None:
    meters = Meters()
    snapshot = wired(meters, policies=[{"type": HERE + "Admit"}])
    (hook,) = snapshot.hooks[Phase.ADMIT]
    assert hook.__self__.options.type == HERE + "Admit"
    assert [len(snapshot.hooks[phase]) for phase in Phase] == [1, 1, 0, 1, 0]  # the first one's is overload's
    hook.__self__.asked.add()
    assert [
        cell.value for family in meters.families() if family.name == "acme_asked_total" for _, cell in family.series()
    ] == [1]
    wired(meters, policies=[{"type": HERE + "Admit"}])  # a later generation counts on


def test_overload_is_given_the_machines_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's own, else those in the arena of the meters."""
    (tmp_path / "gateway.yaml").write_text("server: {max_in_flight: 7, max_buffered: 1KiB}\n")
    config = load([tmp_path / "gateway.yaml"], environ={})
    monkeypatch.setattr(wiring, "Overload", lambda **settings: SimpleNamespace(**settings))
    bounds, meters = {"max_in_flight": 7, "max_buffered": 1024}, Meters()
    table = LimitTable(meters.arena)
    own = vars(wire(config, meters=meters).policies[0][1])["limits"]
    assert own.slot(Concurrency("c", limit=1), "k").key == table.slot(Concurrency("c", limit=1), "k").key
    assert vars(wire(config, limits=table).policies[0][1]) == {**bounds, "limits": table}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"providers": {"p": {"type": HERE + "Shy"}}}, "providers.p: Shy has no request"),
        ({"providers": {"p": {"type": HERE + "no_class"}}}, "providers.p: NoneType has no request"),
        ({"providers": {"p": {"type": HERE + "Idle"}}}, "providers.p: Idle must have a set of Tasks"),
        ({"providers": {"p": {"type": HERE + "Renamed"}}}, "providers.p: Renamed must keep the name"),
        (
            {"providers": {"p": {"type": HERE + "AsyncRequest"}}},
            "providers.p: AsyncRequest.request must be a plain function",
        ),
        (
            {"providers": {"p": {"type": HERE + "AsyncPerform"}}},
            "providers.p: AsyncPerform.perform must be a plain function",
        ),
        ({"policies": [{"type": HERE + "AsyncAdmit"}]}, r"policies\[0\]: AsyncAdmit.admit must be a plain function"),
        ({"policies": [{"type": HERE + "NoFunction"}]}, r"policies\[0\]: NoFunction.settle must be a plain function"),
        ({"policies": [{"type": HERE + "Ours"}]}, r"policies\[0\]: cannot be built: ValueError"),
        (
            {
                "providers": {"e": {"type": "echo", "models": {"m": {}}}},
                "routing": {"default_strategy": HERE + "AsyncChoose"},
            },
            "routing.default_strategy: AsyncChoose.choose must be a plain function",
        ),
        ({"providers": {"p": {"type": HERE + "Leaving"}}}, "providers.p: cannot be built: SystemExit"),
        ({"providers": {"p": {"type": "json:loads"}}}, r"providers.p: cannot be built: TypeError in .*, line \d+"),
        (
            {"providers": {"p": {"type": HERE + "Failing"}}},
            r"providers.p: cannot be built: ValueError in .*test_wiring.py, line \d+",
        ),
        (
            {"policies": [{"type": HERE + "Admit"}, {"type": HERE + "Misspelt"}]},
            r"policies\[1\]: Misspelt has no on_head or admit or",
        ),
        (
            {
                "providers": {"e": {"type": "echo", "models": {"m": {}}}},
                "routing": {"default_strategy": HERE + "Undecided"},
            },
            "routing.default_strategy: Undecided has no choose",
        ),
        (
            {
                "providers": {"e": {"type": "echo"}},
                "models": {"m": {"targets": [{"provider": "e"}], "strategy": {"type": HERE + "Undecided"}}},
            },
            "models.m.strategy: Undecided has no choose",
        ),
    ],
)
def test_what_cannot_be_wired_is_named_and_keeps_its_secrets(sections: dict[str, Any], said: str, wired: Any) -> None:
    with pytest.raises(CannotWire, match=said) as caught:
        wired(**sections)
    assert "canary" not in str(caught.value)


def test_every_problem_is_found_in_one_go_at_its_place(wired: Any, tmp_path: Path) -> None:
    """A strategy that many models share is one problem; a model is looked at even if its provider does not work."""
    with pytest.raises(CannotWire) as caught:
        wired(
            providers={"p": {"type": HERE + "Failing", "models": {"x": {}, "y": {}}}},
            models={"z": {"targets": [{"provider": "p", "model": "x"}], "strategy": HERE + "AsyncChoose"}},
            policies=[{"type": HERE + "NoFunction"}, {"type": HERE + "Misspelt"}],
            routing={"default_strategy": HERE + "Undecided"},
        )
    assert [
        str(problem).removeprefix(f"{tmp_path}/gateway.yaml:").partition(";")[0] for problem in caught.value.problems
    ] == [
        "2:3: providers.p: cannot be built: ValueError in " + __file__ + f", line {line_of('sk-canary in')}",
        "14:3: policies[0]: NoFunction.settle must be a plain function, without async",
        "15:3: policies[1]: Misspelt has no on_head or admit or on_attempt or release or settle",
        "17:21: routing.default_strategy: Undecided has no choose",
        "8:3: models.z.strategy: AsyncChoose.choose must be a plain function, without async",
    ]
    assert render_problems(caught.value).endswith("5 problems\n")


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if text in line)


def test_importing_the_wiring_fills_the_catalogs() -> None:
    assert "gateway.wiring" in sys.modules
    for kind in (catalog.endpoints, catalog.policies, catalog.providers, catalog.strategies):
        assert kind.names() or kind is catalog.policies
