"""What the supervisor is told, and what a reload cannot do."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from gateway.config import Config
from gateway.server.settings import FIXED, Address, Settings, settings_of, unchanged

CONFIG = Config.model_validate({
    "server": {"listen": ["127.0.0.1:0", "unix:/run/gateway.sock"], "worker_timeout": "5s", "drain_delay": "1s"},
    "logging": {"level": "debug", "log": "/var/log/gateway.log", "access_log": "off"},
})  # fmt: skip
SETTINGS = settings_of(CONFIG, workers=None, usable=3)


def test_everything_arrives_in_plain_values() -> None:
    expected = Settings(
        addresses=(
            Address("127.0.0.1:0", "127.0.0.1", 0),
            Address("unix:/run/gateway.sock", path="/run/gateway.sock"),
        ),
        workers=3,
        workers_written="auto",
        workers_forced=False,
        worker_timeout=5.0,
        drain_delay=1.0,
        drain_timeout=30.0,
        lane="fast",
        log_level="debug",
        log="/var/log/gateway.log",
    )
    assert expected == SETTINGS
    assert Settings.from_json(json.loads(json.dumps(SETTINGS.to_json()))) == SETTINGS


def test_who_says_how_many_workers() -> None:
    four = Config.model_validate({"server": {"workers": 4}})
    assert settings_of(four, workers=None, usable=3).workers == 4
    forced = settings_of(four, workers=2, usable=3)
    assert (forced.workers, forced.workers_written, forced.workers_forced) == (2, "4", True)


def test_what_a_reload_leaves_as_it_was_is_named() -> None:
    assert list(unchanged(SETTINGS, SETTINGS)) == []
    assert list(unchanged(SETTINGS, replace(SETTINGS, lane="aiohttp"))) == ["server.lane: stays fast until a restart"]
    forced = replace(SETTINGS, workers=2, workers_forced=True)
    assert list(unchanged(forced, replace(forced, workers_written="8"))) == [
        "server.workers: 8 is not used; the command line says --workers 2"
    ]
    assert list(unchanged(forced, forced)) == [], "said once, not at every reload"
    more = replace(SETTINGS, workers=8, workers_written="8")
    assert list(unchanged(SETTINGS, more)) == []
    assert set(FIXED) < {field.name for field in fields(Settings)}
