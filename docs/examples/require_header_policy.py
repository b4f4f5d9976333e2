"""A policy of your own: no request without a certain header, and none for models that are not meant for its value.

policies:
  - type: require_header_policy:RequireHeader
    header: X-Team
    models: {research: [llama]}     # other teams may ask for any model
"""

from __future__ import annotations

from gateway.config import PolicyOptions
from gateway.contracts import Target
from gateway.errors import GatewayError, Kind, Whose
from gateway.exchange import Exchange
from gateway.telemetry.meters import Meters

MISSING = Kind(403, "permission_error", "header_missing", Whose.CLIENT)
NOT_MEANT = Kind(403, "permission_error", "model_not_meant_for_you", Whose.CLIENT)


class RequireHeaderOptions(PolicyOptions):
    header: str
    models: dict[str, list[str]] = {}


class RequireHeader:
    """A hook's name is its phase; a policy has those it needs. Raising refuses the request."""

    Options = RequireHeaderOptions

    def __init__(self, options: RequireHeaderOptions) -> None:
        self._header = options.header.lower()
        self._models = options.models

    def count_with(self, meters: Meters) -> None:
        """Optional, called once. Keep the family or a cell of it; counting is then one call."""
        self._answers = meters.counter("acme_answers_total", "Requests that were let in, by outcome.", ("outcome",))
        self._refused = self._answers.cell("refused")

    def on_head(self, exchange: Exchange) -> None:
        """The headers are here, nothing else is: refusing now costs least."""
        if not exchange.headers.get(self._header):
            self._refused.add()
            raise GatewayError(MISSING, f"send the header {self._header}")

    def admit(self, exchange: Exchange) -> None:
        """The body is read and valid."""
        allowed = self._models.get(exchange.headers[self._header])
        if allowed is not None and exchange.model not in allowed:
            self._refused.add()
            raise GatewayError(NOT_MEANT, f'the model "{exchange.model}" is not meant for you', param="model")

    def on_attempt(self, exchange: Exchange, target: Target) -> None:
        """Before each try; an error that may be retried elsewhere moves on to the next target."""

    def settle(self, exchange: Exchange) -> None:
        """Once per request, however it ended. Must not fail and cannot wait."""
        if exchange.error is None and exchange.ended_by is None:
            self._answers.cell("answered").add()
