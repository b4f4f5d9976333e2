"""Which provider is reached through a proxy: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say, in either case.

They are read when an upstream is made. The log says once per upstream that there is a proxy, and which one, without the
user name and password it may hold. The compiled client speaks to no proxy: aiohttp's does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib import request
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import GatewayError

log = logging.getLogger("gateway")


class Proxies:
    """The proxies of one provider's addresses."""

    def __init__(self, provider: str, proxies: Mapping[str, str] | None = None) -> None:
        self._provider = provider
        self._proxies = dict(request.getproxies_environment() if proxies is None else proxies)
        self._known: dict[str, str | None] = {}

    def of(self, url: str) -> str | None:
        """The proxy for `url`, if it has one. Raises GatewayError for one that we cannot speak to."""
        if not self._proxies:
            return None
        if url not in self._known:
            self._known[url] = self._choose(url)
        return self._known[url]

    def _choose(self, url: str) -> str | None:
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme)
        if not proxy or any(self._bypasses(host) for host in (parts.netloc, parts.hostname or "")):
            return None
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        at = urlsplit(proxy)
        if at.scheme not in ("http", "https"):
            message = f"{self._provider} cannot be reached: its proxy is no HTTP proxy ({at.scheme}://)"
            raise GatewayError(errors.CONNECT_FAILED, message)
        if not any(self._known.values()):
            shown = f"{at.scheme}://{at.netloc.rpartition('@')[2]}"
            log.info("%s is reached through the proxy %s", self._provider, shown)
        return proxy

    def _bypasses(self, host: str) -> bool:
        return bool(request.proxy_bypass_environment(host, self._proxies))  # type: ignore[attr-defined]
