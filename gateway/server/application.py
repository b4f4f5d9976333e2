"""The aiohttp lane: one handler that turns aiohttp's requests into exchanges and pages.

aiohttp's low-level server is used, not its router: which path means what is the snapshot's business, and
so every refusal is ours and reads like the others. The handler is cancelled when the client leaves.
"""

from __future__ import annotations

import logging
from urllib.parse import unquote

from aiohttp import web

from gateway import errors
from gateway.contracts import Page, PageAnswer
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.pipeline import handle
from gateway.server.aiohttp_lane import AiohttpBody, AiohttpReply
from gateway.snapshot import Runtime
from gateway.telemetry.request_id import correlation_id, request_id

log = logging.getLogger("gateway")


class Application:
    """Answers aiohttp's requests."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        reply = AiohttpReply(request, closing=self._runtime.draining)
        endpoint = self._runtime.snapshot.endpoints.get(request.path)
        if endpoint is None or request.method != "POST":
            await self._page(request, reply)
        else:
            exchange = Exchange(
                id=request_id(request.headers.get("x-request-id")),
                correlation_id=correlation_id(request.headers.get("x-correlation-id")),
                method=request.method,
                path=request.path,
                endpoint=endpoint,
                snapshot=self._runtime.snapshot,
                headers={name.lower(): value for name, value in request.headers.items()},
                peer=request.remote,
                now=self._runtime.wheel.now,
                received=self._runtime.wheel.now(),
            )
            await handle(exchange, self._runtime, AiohttpBody(request, self._runtime.wheel, exchange), reply)
        return reply.response

    async def _page(self, request: web.BaseRequest, reply: AiohttpReply) -> None:
        headers = {"x-request-id": request_id(request.headers.get("x-request-id"))}
        try:
            answer = await self._show(request)
        except GatewayError as error:
            answer = PageAnswer(error.status, error.body())
            headers |= error.headers()
        except Exception:
            log.exception("internal error", extra={"path": request.path})
            answer = PageAnswer(500, GatewayError(errors.INTERNAL, "internal error; it is logged").body())
        await reply.send(answer.status, {"content-type": answer.content_type, **headers}, answer.body)

    async def _show(self, request: web.BaseRequest) -> PageAnswer:
        page, rest = self._find(request)
        if page is None:
            if request.path in self._runtime.snapshot.endpoints:
                raise GatewayError(errors.METHOD_NOT_ALLOWED, f"{request.path} takes POST", allow="POST")
            message = f"{request.method} {request.path[:200]} does not exist; GET /openapi.json lists what does"
            raise GatewayError(errors.UNKNOWN_PATH, message)
        if request.method not in ("GET", "HEAD"):
            raise GatewayError(errors.METHOD_NOT_ALLOWED, f"{request.path[:200]} takes GET", allow="GET, HEAD")
        return await page.show(self._runtime, rest)

    def _find(self, request: web.BaseRequest) -> tuple[Page | None, str]:
        """The page of a path, and what of the path is its argument."""
        pages = self._runtime.snapshot.pages
        raw = request.raw_path.partition("?")[0]
        if raw in pages:
            return pages[raw], ""
        for path, page in pages.items():
            if path.endswith("/*") and raw.startswith(path[:-1]) and len(raw) >= len(path):
                return page, unquote(raw[len(path) - 1 :])
        return None, ""
