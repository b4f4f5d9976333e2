"""What the gateway answers by itself: health, models, metrics, its own description."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import jsonschema_rs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import __version__, catalog
from gateway._fast import Arena
from gateway.contracts import Page, PageAnswer
from gateway.endpoints.openapi import document
from gateway.errors import GatewayError
from gateway.roster import Roster, State
from gateway.snapshot import Runtime
from tests.stand_ins import ENDPOINT, runtime, snapshot, target


@pytest.fixture
def run() -> Runtime:
    return runtime(snapshot({"m": [target()], "meta/llama 3": [target()]}))


def show(name: str, run: Runtime, rest: str = "") -> PageAnswer:
    page: Page = catalog.endpoints.get(name)()
    return asyncio.run(page.show(run, rest))


def shown(name: str, run: Runtime, rest: str = "") -> Any:
    return json.loads(show(name, run, rest).body)


def test_health_at_a_glance(run: Runtime) -> None:
    assert shown("health", run) == {
        "status": "ok",
        "version": __version__,
        "lane": "aiohttp",
        "generation": 1,
        "models": 2,
        "worker": 0,
        "workers": [],
    }


def test_health_shows_every_worker(run: Runtime) -> None:
    """Here while a reload is under way, and another worker has just been forked."""
    roster = Roster(Arena(reserve=16 << 20))
    began = time.monotonic_ns() - 5_000_000_000
    for slot, pid, state, generation in ((1, 101, State.READY, 8), (2, 102, State.RETIRING, 7), (9, 109, None, 0)):
        roster.starts(slot, pid, began)
        if state is not None:
            roster.becomes(slot, state)
            roster.adopts(slot, generation)
    run.roster, run.slot = roster, 1
    said = shown("health", run)
    assert said["worker"] == 1
    assert all(5 <= worker.pop("uptime_seconds") < 65 for worker in said["workers"])
    assert said["workers"] == [
        {"worker": 1, "pid": 101, "state": "ready", "generation": 8},
        {"worker": 2, "pid": 102, "state": "retiring", "generation": 7},
        {"worker": 9, "pid": 109, "state": "starting", "generation": 0},
    ]
    described = document([])["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema_rs.validate(described, shown("health", run))
    roster.clear(9)
    assert [worker["worker"] for worker in shown("health", run)["workers"]] == [1, 2]


def test_the_description_knows_every_state() -> None:
    schema = document([])["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    states = schema["properties"]["workers"]["items"]["properties"]["state"]["enum"]
    assert states == [state.name.lower() for state in State if state is not State.NOBODY]


@pytest.mark.parametrize(("page", "status"), [("health", 503), ("health_ready", 503), ("health_live", 200)])
def test_a_drain_ends_readiness_and_not_life(page: str, status: int, run: Runtime) -> None:
    assert show(page, run).status == 200
    run.draining = True
    assert show(page, run).status == status
    assert shown(page, run)["status"] == ("draining" if status == 503 else "ok")


def test_models(run: Runtime) -> None:
    listed = shown("models", run)
    assert [model["id"] for model in listed["data"]] == ["m", "meta/llama 3"]
    assert shown("models", run, "meta/llama 3") == listed["data"][1]
    assert listed["data"][0] == {"id": "m", "object": "model", "created": int(run.started), "owned_by": "llm-gateway"}
    with pytest.raises(GatewayError) as caught:
        shown("models", run, "x" * 1_000)
    assert (caught.value.status, caught.value.param, len(caught.value.message) < 300) == (404, "model", True)


def test_metrics_are_prometheus_text(run: Runtime) -> None:
    run.meters.route("p", "m").answered(200, 0.1)
    answer = show("metrics", run)
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    assert {"llm_gateway_requests", "llm_gateway_active_requests"} <= set(families)


def test_the_description_lists_every_call_and_page_once() -> None:
    said = document([ENDPOINT])
    pages = {
        path.replace("*", "{id}")
        for name in catalog.endpoints.names()
        for path in getattr(catalog.endpoints.get(name), "paths", ())
    }
    assert set(said["paths"]) == pages | {ENDPOINT.path}
    for path, operations in said["paths"].items():
        (method, operation), *more = operations.items()
        assert (method, more) == ("post" if path == ENDPOINT.path else "get", [])
        assert operation["summary"] or path == ENDPOINT.path
        for answer in [*operation["responses"].values(), operation.get("requestBody", {})]:
            for content in answer.get("content", {}).values():
                jsonschema_rs.meta.validate(content.get("schema", True))


def test_pages_answer_as_described(run: Runtime) -> None:
    described = document([])["paths"]
    for name, path in (
        ("health", "/health"),
        ("health_live", "/live"),
        ("health_ready", "/ready"),
        ("models", "/v1/models"),
    ):
        schema = described[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validate(schema, shown(name, run))
