"""A secret is in the request that carries it and nowhere else."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ApiKey, Config, ConfigError, load, render_problems

CANARY = "sk-canary-3141592653589793"

GOOD = """
providers:
  openai:
    type: openai
    endpoint: https://api.openai.com/v1/
    auth: {type: api_key, key: "${env:KEY}"}
    headers: {X-Team: "${env:KEY}", X-Plain: plain}
  other:
    type: custom
    endpoint: http://[::1]:8000
    auth: {type: api_key, key: "${env:KEY}", header: X-Api-Key}
  bearer:
    type: custom
    endpoint: http://127.0.0.1:8000
    auth: {type: api_key, key: "${env:KEY}", header: authorization}
  prefixed:
    type: custom
    endpoint: http://127.0.0.1:8000
    auth: {type: api_key, key: "${env:KEY}", header: X-Api-Key, prefix: "Key "}
  bare:
    type: custom
    endpoint: http://127.0.0.1:8000
    auth: {type: api_key, key: "${env:KEY}", prefix: ""}
"""


@pytest.fixture
def config(write: Any, environ: dict[str, str]) -> Config:
    return load([write(GOOD)], environ=environ)


def test_it_is_on_the_wire(config: Config) -> None:
    lines = {name: options.header_lines() for name, options in config.providers.items()}
    assert lines["openai"] == (("Authorization", f"Bearer {CANARY}"), ("X-Team", CANARY), ("X-Plain", "plain"))
    assert lines["other"] == (("X-Api-Key", CANARY),)
    assert lines["bearer"] == (("authorization", f"Bearer {CANARY}"),)
    assert lines["prefixed"] == (("X-Api-Key", f"Key {CANARY}"),)
    assert lines["bare"] == (("Authorization", CANARY),)


def test_it_is_nowhere_else(config: Config) -> None:
    texts = [repr(config), str(config), config.model_dump_json(), repr(config.model_dump()), repr(config.warnings)]
    texts += [repr(options.auth) for options in config.providers.values()]
    texts += [str(options.model_dump(mode="json")) for options in config.providers.values()]
    assert not [text for text in texts if "canary" in text]


def test_a_config_survives_the_way_to_a_worker(config: Config) -> None:
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert again.providers["openai"].secrets() == (CANARY, CANARY)
    assert "canary" not in repr(again)


BAD = [
    'auth: {type: api_key, key: "KEY", prefx: x}',
    'auth: {type: api_key, key: ["KEY"]}',
    'auth: {type: api_key, key: {a: "KEY"}}',
    'auth: {type: api_key, key: "KEY\\n"}',
    'auth: "KEY"',
    'auth: ["KEY"]',
    'endpoint: "https://KEY@example.org"',
    'endpoint: "https://example.org/?key=KEY"',
    'endpoint: "KEY"',
    'headers: {x: ["KEY"]}',
    'headers: "KEY"',
    'headers: {host: "KEY"}',
    'headers: {x-key: "KEY\\n"}',
    'api_key: "KEY"',
    'type: talkative\n    code: "KEY"',
    'type: crashing\n    auth: {type: api_key, key: "KEY"}',
]
BAD_AS_REFERENCE = [  # where nobody can tell that a word is a secret, unless it came from a reference
    'auth: {type: "KEY", key: x}',
    'timeouts: {connect: "KEY"}',
    'timeouts: "KEY"',
    'models: {m: "KEY"}',
    'models: "KEY"',
    'connection_pool: {max_connections_per_host: "KEY"}',
    'type: talkative\n    word: "KEY"',
    'type: talkative\n    word: "CANARY KEY"',
    'type: talkative\n    sizes: "KEY"',
    'type: "KEY"',
    'type: "no.module:KEY"',
]


@pytest.mark.parametrize("bad", [*BAD, *(text.replace("KEY", "${env:KEY}") for text in [*BAD, *BAD_AS_REFERENCE])])
def test_no_problem_shows_it(bad: str, write: Any, environ: dict[str, str]) -> None:
    text = bad if "${" in bad else bad.replace("KEY", CANARY)
    kind = "" if bad.startswith("type") else "type: openai\n    "
    with pytest.raises(ConfigError) as caught:
        load([write(f"providers:\n  p:\n    {kind}{text}\n")], environ=environ)
    said = render_problems(caught.value) + repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert "canary" not in said
    assert caught.value.__context__ is None


def test_a_secret_in_plain_text_is_a_warning(write: Any) -> None:
    text = GOOD.replace('key: "${env:KEY}"', "key: sk-plain", 1).replace('X-Team: "${env:KEY}"', "X-Token: tok-plain")
    config = load([write(text)], environ={"KEY": CANARY})
    assert [(each.path, each.line, each.column) for each in config.warnings] == [
        ("providers.openai.auth.key", 6, 32),
        ("providers.openai.headers.X-Token", 7, 24),
    ]
    said = "\n".join(map(str, config.warnings))
    assert 'a secret in plain text; write "${env:NAME}" or "${file:PATH}"' in said
    assert "sk-plain" not in said
    assert "tok-plain" not in said


def test_a_key_may_hold_any_character_that_a_header_may(write: Any) -> None:
    key = "".join(chr(code) for code in (*range(0x21, 0x7F), *range(0xA1, 0x100)))
    config = load([write(GOOD)], environ={"KEY": key})
    assert config.providers["other"].header_lines() == (("X-Api-Key", key),)


def test_made_by_hand() -> None:
    auth = ApiKey.model_validate({"type": "api_key", "key": CANARY})
    assert auth.header_line() == ("Authorization", f"Bearer {CANARY}")
    assert "canary" not in repr(auth)


def test_the_default_of_a_reference_is_plain_text(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("""providers:
  a: {type: openai, auth: {type: api_key, key: "${env:UNSET:-sk-plain}"}}
  b: {type: openai, auth: {type: api_key, key: "${env:SET}"}, headers: {X-Team: "${env:UNSET:-none}"}}
""")
    (warning,) = load([file], environ={"SET": "sk-set"}).warnings
    assert (warning.line, warning.path, warning.problem) == (2, "providers.a.auth.key", "a secret in plain text")
