"""``GET /openapi.json``: what can be called, derived from the endpoints and the rules they enforce."""

from __future__ import annotations

from typing import Any

import orjson

from gateway import __version__
from gateway.catalog import endpoints
from gateway.contracts import Endpoint, PageAnswer
from gateway.snapshot import Runtime

_TEXT = {"type": ["string", "null"]}
_ERROR_OBJECT = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": _TEXT, "code": _TEXT},
        }
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
}
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "draining"]}}}
_WORKER = {
    "type": "object",
    "required": ["worker", "pid", "state", "generation", "uptime_seconds"],
    "properties": {
        "worker": {"type": "integer", "minimum": 1},
        "pid": {"type": "integer", "minimum": 1},
        "state": {"enum": ["starting", "ready", "retiring", "draining"]},
        "generation": {"type": "integer", "minimum": 0},
        "uptime_seconds": {"type": "number", "minimum": 0},
    },
}
_HEALTH = {
    "type": "object",
    "required": ["status", "version", "lane", "generation", "models", "worker", "workers"],
    "properties": {
        "status": {"enum": ["ok", "draining"]},
        "version": {"type": "string"},
        "lane": {"type": "string"},
        "generation": {"type": "integer", "minimum": 1},
        "models": {"type": "integer", "minimum": 0},
        "worker": {"type": "integer", "minimum": 0},
        "workers": {"type": "array", "items": _WORKER},
    },
}
_PAGES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # path: what it is, its 200, further statuses
    "/v1/models": ("The models that may be asked for", _MODELS, {}),
    "/v1/models/{id}": ("One of them", _MODEL, {"404": _ERROR_OBJECT}),
    "/health": ("State at a glance", _HEALTH, {"503": _HEALTH}),
    "/health/live": ("Does the process answer?", _STATUS, {}),
    "/live": ("Does the process answer?", _STATUS, {}),
    "/health/ready": ("Does it want traffic?", _STATUS, {"503": _STATUS}),
    "/ready": ("Does it want traffic?", _STATUS, {"503": _STATUS}),
    "/openapi.json": ("This document", {"type": "object"}, {}),
}
_REFUSALS = ("400", "404", "408", "409", "413", "415", "422", "429", "500", "502", "503", "504")


@endpoints.register("openapi")
class OpenApi:
    """The document, as true as the tables it is made from."""

    paths = ("/openapi.json",)

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer:
        return PageAnswer(200, orjson.dumps(document(list(runtime.snapshot.endpoints.values()))))


def document(calls: list[Endpoint]) -> dict[str, Any]:
    """OpenAPI 3.1 for these data endpoints and all pages."""
    paths: dict[str, Any] = {call.path: {"post": _operation(call)} for call in calls}
    for path, (summary, schema, others) in _PAGES.items():
        paths[path] = {"get": _page(path, summary, schema, others)}
    paths["/metrics"] = {
        "get": {
            "summary": "Everything that is counted, as Prometheus text",
            "responses": {"200": {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "llm-gateway", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
    }


def _operation(call: Endpoint) -> dict[str, Any]:
    answers: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if call.dialect.streams:
        answers["text/event-stream"] = {}  # this version of OpenAPI has no words for a schema of each event
    return {
        "summary": (type(call).__doc__ or "").strip(),
        "requestBody": {"required": True, "content": {"application/json": {"schema": call.dialect.request.schema}}},
        "responses": {
            "200": {"description": "the provider's answer", "content": answers},
            **{status: _json("an error", _ERROR_OBJECT) for status in _REFUSALS},
        },
    }


def _page(path: str, summary: str, schema: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    page: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": _json("as asked", schema),
            **{status: _json("otherwise", other) for status, other in others.items()},
        },
    }
    if "{id}" in path:
        page["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    return page


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
