"""``GET /v1/models`` and ``/v1/models/{id}``: the models that clients may ask for."""

from __future__ import annotations

import orjson

from gateway import errors
from gateway.catalog import endpoints
from gateway.contracts import PageAnswer
from gateway.errors import GatewayError
from gateway.snapshot import Runtime


@endpoints.register("models")
class Models:
    """An id may contain slashes."""

    paths = ("/v1/models", "/v1/models/*")

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer:
        plans = runtime.snapshot.plans
        if not rest:
            return PageAnswer(200, orjson.dumps({"object": "list", "data": [_model(name, runtime) for name in plans]}))
        if rest not in plans:
            raise GatewayError(errors.MODEL_NOT_FOUND, f'the model "{rest[:200]}" does not exist', param="model")
        return PageAnswer(200, orjson.dumps(_model(rest, runtime)))


def _model(name: str, runtime: Runtime) -> dict[str, object]:
    return {"id": name, "object": "model", "created": int(runtime.started), "owned_by": "llm-gateway"}
