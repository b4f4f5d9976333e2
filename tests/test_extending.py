"""The examples of docs/extending.md, exactly those files, in a real process: by module:Name and by entry point."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from gateway.__main__ import main
from tests.harness import CLOSE, FakeProvider, Gateway, config_for, whole

EXAMPLES = Path(__file__).parents[1] / "docs/examples"
NAMES = {
    "provider": "shout_provider:Shout",
    "strategy": "first_target_strategy:FirstTarget",
    "policy": "require_header_policy:RequireHeader",
}
ANSWER = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


@pytest.fixture(scope="module", params=["module:Name", "entry point"])
def names(request: pytest.FixtureRequest) -> dict[str, str]:
    """What the configuration calls them."""
    return NAMES if request.param == "module:Name" else {kind: f"acme-{kind}" for kind in NAMES}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH with the examples, and a package's metadata that publishes them."""
    package = tmp_path_factory.mktemp("site")
    metadata = package / "acme_llm-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-llm\nVersion: 1.0\n")
    groups = {"provider": "providers", "strategy": "strategies", "policy": "policies"}
    points = [f"[llm_gateway.{groups[kind]}]\nacme-{kind} = {value}\n" for kind, value in NAMES.items()]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    return os.pathsep.join([str(EXAMPLES), str(package)])


def configured(names: dict[str, str], loud: str, quiet: str) -> dict[str, Any]:
    loud_one = {"type": names["provider"], "endpoint": loud, "volume": 11, "models": {"m": {}, "other": {}}}
    targets = [{"provider": "loud"}, {"provider": "quiet"}]
    return config_for(
        providers={
            "echo": {"type": "echo"},
            "loud": loud_one,
            "quiet": {"type": "custom", "endpoint": quiet, "models": {"m": {}}},
        },
        models={"m": {"targets": targets, "strategy": {"type": names["strategy"], "most": 2}}},
        policies=[{"type": names["policy"], "header": "X-Team", "models": {"research": ["m"]}}],
    )


@pytest.fixture(scope="module")
def running(names: dict[str, str], path: str) -> Iterator[tuple[Gateway, FakeProvider, FakeProvider]]:
    with FakeProvider() as loud, FakeProvider() as quiet:
        for provider in (loud, quiet):
            provider.answer(whole(ANSWER))
        with Gateway(configured(names, loud.url, quiet.url), environ={"PYTHONPATH": path}) as gateway:
            yield gateway, loud, quiet


def ask(gateway: Gateway, path: str = "chat/completions", team: str = "any", **fields: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "input": "x", **fields}
    return httpx.post(f"{gateway.url}/v1/{path}", json=body, headers={"x-team": team}, timeout=30)


Running = tuple[Gateway, FakeProvider, FakeProvider]


def test_the_provider_is_sent_what_it_wants(running: Running) -> None:
    gateway, loud, _ = running
    loud.answer(whole(ANSWER))
    answer = ask(gateway)
    assert (answer.status_code, answer.headers["x-gateway-provider"]) == (200, "loud")
    assert (loud.seen[-1].headers["x-volume"], loud.seen[-1].json["model"]) == ("11", "M")


def test_the_strategy_keeps_to_the_first_until_it_fails(running: Running) -> None:
    gateway, loud, quiet = running
    loud.answer(whole(ANSWER))
    assert {ask(gateway).headers["x-gateway-provider"] for _ in range(3)} == {"loud"}
    loud.answer([CLOSE])
    answer = ask(gateway)
    assert (answer.headers["x-gateway-provider"], answer.headers["x-gateway-attempts"]) == ("quiet", "2")
    quiet.answer([CLOSE])
    assert ask(gateway).status_code == 502
    quiet.answer(whole(ANSWER))


def test_a_task_the_provider_does_not_know_goes_elsewhere_or_is_refused(running: Running) -> None:
    gateway, loud, _ = running
    loud.answer(whole(ANSWER))
    assert ask(gateway, "embeddings").headers["x-gateway-provider"] == "quiet"
    refused = ask(gateway, "embeddings", model="other")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        'no provider of the model "other" serves /v1/embeddings',
    )


def test_the_policy_refuses_before_and_after_the_body(running: Running) -> None:
    gateway, loud, _ = running
    loud.answer(whole(ANSWER))
    asked = len(loud.seen)
    missing = httpx.post(f"{gateway.url}/v1/chat/completions", content=b"not even JSON", timeout=30)
    assert (missing.status_code, missing.json()["error"]["code"]) == (403, "header_missing")
    other = ask(gateway, team="research", model="other")
    assert (other.status_code, other.json()["error"]["code"]) == (403, "model_not_meant_for_you")
    assert len(loud.seen) == asked
    assert ask(gateway, team="research").status_code == 200


def test_what_the_policy_counts_is_seen(running: Running) -> None:
    gateway, loud, _ = running
    loud.answer(whole(ANSWER))
    series = {outcome: f'acme_answers_total{{outcome="{outcome}"}}' for outcome in ("answered", "refused")}
    before = gateway.metrics()
    assert ask(gateway).status_code == 200
    assert ask(gateway, team="").status_code == 403
    after = gateway.metrics()
    assert {outcome: after[name] - before.get(name, 0) for outcome, name in series.items()} == {
        "answered": 1,
        "refused": 1,
    }


def test_check_accepts_the_examples_and_refuses_their_misuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    file = tmp_path / "gateway.yaml"
    config = configured(NAMES, "http://loud/v1", "http://quiet/v1")
    file.write_text(json.dumps(config))
    assert main(["check", str(file)]) == 0
    assert main(["explain", str(file), "m"]) == 0
    said = capsys.readouterr().out
    assert "head     Overload, RequireHeader" in said
    assert "release  Overload" in said
    assert "settle   RequireHeader" in said
    assert "m: FirstTarget\n  loud -> m " in said

    config["providers"]["loud"]["volume"] = 12
    del config["policies"][0]["header"]
    config["models"]["m"]["strategy"] = {"type": "first_target_strategy:LastTarget"}
    file.write_text(json.dumps(config))
    assert main(["check", str(file)]) == 1
    problems = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert sorted(problem.partition(": module ")[0] for problem in problems[:3]) == [
        'models.m.strategy.type: strategy "first_target_strategy:LastTarget" cannot be loaded: AttributeError',
        "policies[0].header: missing; add it",
        "providers.loud.volume: must be at most 11, found the number 12",
    ]


def test_the_schema_knows_what_is_installed_and_names_what_is_broken(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in path.split(os.pathsep):
        monkeypatch.syspath_prepend(folder)
    assert main(["schema"]) == 0
    assert "volume" in json.loads(capsys.readouterr().out)["$defs"]["ProviderOptions-acme-provider"]["properties"]
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[llm_gateway.policies]\nbroken = no.such.module:Name\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["schema"]) == 1
    assert capsys.readouterr().err.startswith('llm-gateway: policy "broken" cannot be loaded: ModuleNotFoundError')


def test_what_the_examples_say_about_the_yaml_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    whole_file: dict[str, Any] = {}
    for value in NAMES.values():
        head = ast.get_docstring(ast.parse((EXAMPLES / f"{value.partition(':')[0]}.py").read_text())) or ""
        section = yaml.safe_load(head.partition("\n\n")[2])
        assert value in str(section)
        whole_file |= section
    whole_file["providers"]["quiet"] = {"type": "echo", "models": {"llama": {}}}
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(whole_file))
    assert main(["check", str(file)]) == 0


def test_a_plug_in_that_fails_to_import_is_a_problem_of_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("providers:\n  p:\n    type: acme_is_not_installed:Acme\n")
    assert main(["check", str(file)]) == 1
    assert re.match(
        rf"{re.escape(str(file))}:3:11: providers.p.type: provider type .* cannot be loaded: "
        "ModuleNotFoundError: No module named 'acme_is_not_installed'",
        capsys.readouterr().err,
    )


def test_the_guide_shows_these_files() -> None:
    guide = (EXAMPLES.parent / "extending.md").read_text()
    for value in NAMES.values():
        assert f"examples/{value.partition(':')[0]}.py" in guide
        assert value in guide
