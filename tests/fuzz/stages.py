"""The stages by their names."""

from __future__ import annotations

from tests.fuzz.client_stage import ClientStage
from tests.fuzz.stage import Stage
from tests.fuzz.upstream_stage import UpstreamStage

STAGES: dict[str, type[Stage]] = {"client": ClientStage, "upstream": UpstreamStage}
