"""The lane of the start is every worker's, whatever a reload says and whoever is replaced after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Gateway, eventually
from tests.supervision.instance import configuration, health, is_complete, reload

OTHER = {"fast": "aiohttp", "aiohttp": "fast"}


def config(lane: str) -> dict[str, Any]:
    return configuration(server={"listen": "127.0.0.1:0", "lane": lane}, workers=1)


@pytest.mark.parametrize("lane", OTHER)
def test_a_worker_that_comes_after_a_reload_serves_in_the_lane_of_the_start(lane: str) -> None:
    def warnings() -> list[str]:
        return [line["message"] for line in gateway.log if "server.lane" in line["message"]]

    with Gateway(config(lane)) as gateway:
        assert [line["lane"] for line in gateway.log if line["message"] == "listening"] == [lane]
        reload(gateway, config(OTHER[lane]))
        assert warnings() == [f"server.lane: stays {lane} until a restart"]
        killed = gateway.kill_worker()
        eventually(lambda: killed not in gateway.workers and is_complete(gateway, 1), what="another worker")
        assert health(gateway)["lane"] == lane
        infos = {name: value for name, value in gateway.metrics().items() if "_build_info" in name and value}
        assert [f'lane="{lane}"' in name for name in infos] == [True]
        reload(gateway, config(lane))
        assert len(warnings()) == 1, "it is again as it was"
        assert [line["lane"] for line in gateway.log if line["message"] == "reloaded"] == [lane, lane]
