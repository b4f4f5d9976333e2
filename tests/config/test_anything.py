"""Whatever a file holds, the answer is a configuration or a list of problems, each with its place."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gateway.config import Config, ConfigError, load

EXAMPLES = 150

GOOD: dict[str, Any] = {
    "server": {"listen": "127.0.0.1:1", "max_body": "1MiB", "max_in_flight": 5, "drain_delay": "1s"},
    "providers": {
        "openai": {
            "type": "openai",
            "endpoint": "https://example.org/v1",
            "auth": {"type": "api_key", "key": "${env:KEY}", "header": "X-Key", "prefix": "p"},
            "headers": {"X-A": "b"},
            "timeouts": {"connect": "1s"},
            "connection_pool": {"max_connections_per_host": 0},
            "models": {"a": {"id": "b"}, "m": {}},
        },
        "echo": {"type": "echo", "pace": "1ms"},
    },
    "models": {"m": {"targets": [{"provider": "openai"}, {"provider": "echo", "model": "x"}], "strategy": "sticky"}},
    "routing": {"default_strategy": {"type": "sticky", "slots": 3}},
    "policies": [{"type": "limit", "rate": 3, "per": "1s"}],
    "streaming": {"drop_malformed": True},
    "logging": {"level": "info", "access_log": "off"},
}

TEXTS = [
    "type",
    "echo",
    "openai",
    "sticky",
    "1s",
    "*",
    "${env:KEY}",
    "${env:NONE}",
    "${",
    "api_key",
    "none",
    "m",
    "\x7f",
    "é",
]

words = some.sampled_from(["", "a b", *TEXTS])
values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | words | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, each in inner for found in paths(each, (*path, step)))]


PATHS = paths(GOOD)[1:]


@given(
    some.lists(some.tuples(some.sampled_from(paths(GOOD)[1:]), values), min_size=1, max_size=3), words, some.booleans()
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_good_file_is_accepted_or_explained(
    changes: list[tuple[tuple[Any, ...], Any]], name: str, rename: bool
) -> None:
    whole = copy.deepcopy(GOOD)
    for path, value in changes:
        owner: Any = whole
        try:
            for step in path[:-1]:
                owner = owner[step]
            if rename and isinstance(owner, dict):
                owner[name] = owner.pop(path[-1])
            else:
                owner[path[-1]] = value
        except (KeyError, TypeError, IndexError):
            continue  # an earlier change took it away
    text = yaml.safe_dump(whole, allow_unicode=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.yaml"
        file.write_text(text, encoding="utf-8")
        outcome = loaded(file)
    if isinstance(outcome, ConfigError):
        lines = text.count("\n") + 1
        assert outcome.problems
        assert all(1 <= each.line <= lines and each.column >= 1 and each.problem for each in outcome.problems)
        assert "canary" not in str(outcome)


def loaded(file: Path) -> Config | ConfigError:
    try:
        return load([file], environ={"KEY": "sk-canary"})
    except ConfigError as error:
        return error
