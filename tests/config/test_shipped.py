"""The files that ship: they load, they need what they say, and their schema is true of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

import gateway.policies
import gateway.providers
import gateway.routing  # noqa: F401
from gateway.config import Config, ConfigError, load, schema

ROOT = Path(__file__).parents[2] / "config"
SHIPPED = [ROOT / "default.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]
CASES = Path(__file__).parent / "cases"


@pytest.fixture(autouse=True)
def extensions() -> None:
    """What ships, not the fakes."""


@pytest.fixture
def validator() -> Any:
    return jsonschema_rs.validator_for(schema())


def test_the_default_needs_no_key_and_no_network() -> None:
    config = load([ROOT / "default.yaml"], environ={})
    assert [options.type for options in config.providers.values()] == ["echo"]
    assert all(target.provider == "echo" for route in config.models.values() for target in route.targets)
    assert set(config.models) == {"echo", "smart"}
    assert config.warnings == ()


def test_an_example_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"openai.yaml:8:32: .*OPENAI_API_KEY is not set"):
        load([ROOT / "examples/openai.yaml"], environ={})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_loads_without_a_warning(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_text(path.read_text())
    (tmp_path / "own.key").write_text("a-key\n")
    config = load([copy], environ={"OPENAI_API_KEY": "a-key"})
    assert isinstance(config, Config)
    assert config.warnings == ()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_fits_the_schema_it_names(path: Path, validator: Any) -> None:
    first = path.read_text().split("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve() == ROOT / "gateway.schema.json"
    assert not list(validator.iter_errors(yaml.safe_load(path.read_text())))


def test_the_published_schema_is_the_one_of_this_code() -> None:
    # llm-gateway schema > config/gateway.schema.json
    assert json.loads((ROOT / "gateway.schema.json").read_text()) == schema()


def test_the_schema_is_a_schema() -> None:
    jsonschema_rs.meta.validate(schema())


def test_the_schema_shows_units_and_no_python() -> None:
    text = json.dumps(schema())
    assert '"default": "20MiB"' in text
    assert '"default": "10s"' in text
    assert "writeOnly" not in text


BAD = [
    "unknown-top-key", "unknown-key-suggested", "unknown-key-no-suggestion", "durations", "sizes", "policies",
    "boolean-for-number", "auth", "lane-unknown", "level-off", "timeouts-request", "unused-keys",
    "providers-not-a-mapping",
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in BAD if (CASES / f"{name}.yaml").exists()])
def test_an_editor_sees_many_mistakes_too(name: str, validator: Any) -> None:
    assert list(validator.iter_errors(yaml.safe_load((CASES / f"{name}.yaml").read_text())))


@pytest.mark.parametrize(
    "document",
    [
        {"server": {"max_in_flight": "${env:MAX}", "drain_timeout": "${env:DRAIN:-5s}", "max_body": "${file:size}"}},
        {"providers": {"x": {"type": "acme.llm:Acme", "of_its_own": 1}}},
        {"models": {"x": {"targets": [{"provider": "x"}], "strategy": "round_robin"}}},
        {"models": {"x": {"targets": [{"provider": "x"}], "strategy": {"type": "round_robin"}}}},
        {"logging": {"level": "${env:LEVEL}"}},
    ],
)
def test_an_editor_accepts_references_and_third_parties(document: Any, validator: Any) -> None:
    assert not list(validator.iter_errors(document))
