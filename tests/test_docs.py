"""The documentation against the product: what is written there exists, and what exists is written there."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from gateway import __main__ as command_line
from gateway import __version__, catalog, errors, wiring
from gateway.config import schema
from gateway.errors import Kind
from gateway.server.examination import own_meters
from gateway.telemetry.access_log import NAMES
from tests.harness import Gateway, eventually
from tests.harness.certificates import Authority

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {"README.md": README, "CHANGELOG.md": (ROOT / "CHANGELOG.md").read_text(), **DOCS}
TARGETS = set(re.findall(r"^(\w+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
assert wiring.SHIPPED


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """Every row of every table, as cells; a bar within backticks belongs to its cell."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in re.split(r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page in ("README.md", "CHANGELOG.md") else ROOT / "docs"
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if link.startswith("http"):
            continue
        path, _, section = link.partition("#")
        assert (folder / path).exists(), link
        if section:
            headings = re.findall(r"^#+ (.*)$", (folder / path).read_text(), re.MULTILINE)
            assert section in [heading.lower().replace(" ", "-") for heading in headings], link


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_targets_exist(page: str) -> None:
    written = PAGES[page]
    assert (
        set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|^make .*$", written, re.MULTILINE))))
        <= TARGETS
    )
    for command in re.findall(r"\bllm-gateway (run|[a-z]+)(?= [\w./-]*\.yaml| FILE| --|`| >)", written):
        assert command in ("run", "check", "explain", "schema", "version"), command


def test_every_target_and_command_is_written_about() -> None:
    assert {target for target in TARGETS if f"make {target}" not in README} <= {"lock"}
    for command in ("run", "check", "explain", "schema"):
        assert f"llm-gateway {command}" in README


def keys() -> list[tuple[str, Any]]:
    """Every key of the configuration, with its default if that is one value."""
    found: dict[str, set[str]] = {}
    whole = schema()
    for definition in [whole, *whole["$defs"].values()]:
        for name, each in definition.get("properties", {}).items():
            default = each.get("default")
            plain = isinstance(default, str | bool | int | float)
            found.setdefault(name, set()).add((str(default).lower() if default is not None else "") if plain else "")
    return sorted((name, max(defaults)) for name, defaults in found.items())


@pytest.mark.parametrize(("key", "default"), keys(), ids=[key for key, _ in keys()])
def test_every_key_is_documented_with_its_default(key: str, default: str) -> None:
    written = DOCS["configuration.md"]
    lines = [row for row in rows(written) if row[0] == f"`{key}`"]
    assert lines or f"\n## {key}\n" in written
    if default:
        assert any(default.lower() in row[1].lower() for row in lines), f"the default of {key} is {default}"


def test_no_key_is_documented_that_does_not_exist() -> None:
    known = {key for key, _ in keys()}
    assert {row[0].strip("`") for row in rows(DOCS["configuration.md"]) if row[0].startswith("`")} <= known


@pytest.mark.parametrize("page", PAGES)
def test_configurations_load(page: str, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(PAGES[page], "yaml")):
        assert isinstance(yaml.safe_load(text), dict)
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        (tmp_path / "own.key").write_text("a-key")
        Authority(tmp_path).issue("server")
        assert wiring.wire(wiring.load([file], environ={"OPENAI_API_KEY": "a-key"}))


def test_every_provider_is_documented() -> None:
    assert {f"`{name}`" for name in catalog.providers._known} == {
        row[0] for row in rows(DOCS["providers.md"]) if "`" in row[0]
    }


def test_every_error_is_documented() -> None:
    written = DOCS["errors.md"]
    for kind in (kind for kind in vars(errors).values() if isinstance(kind, Kind)):
        places = [row for row in rows(written) if any(f"`{kind.code}`" in cell for cell in row)]
        assert any(str(kind.status) in cell for row in places for cell in row), kind
    ours = {row[2].strip("`") for row in rows(written) if re.fullmatch(r"\d{3}", row[0])}
    assert ours <= {kind.code for kind in vars(errors).values() if isinstance(kind, Kind)}


METRICS = {
    row[0].strip("`"): row[1:3] for row in rows(DOCS["observability.md"]) if re.match("`(llm_gateway|process)_", row[0])
}


def test_every_metric_is_documented_with_its_labels_and_nothing_else() -> None:
    there = {family.name: [family.kind, ", ".join(family.shown_labels)] for family in own_meters().families()}
    assert there == METRICS


def test_how_each_gauge_comes_from_several_workers_is_documented() -> None:
    one, each = re.findall("^- one .*?(?=^- |^$)", DOCS["observability.md"], re.MULTILINE | re.DOTALL)
    for family in own_meters().families():
        across = family.shape.across
        listed = [name for name in (one, each) if re.search(rf"`{family.name}`", name)]
        assert listed == {"summed": [], "one": [one], "each": [each]}[across], family.name


def test_every_field_of_the_access_log_is_documented() -> None:
    written = {name for row in rows(DOCS["observability.md"]) for name in re.findall(r"`(\w+)`", row[0])}
    assert set(NAMES) <= written


def test_the_changelog_has_this_version() -> None:
    assert f"## [{__version__}]" in PAGES["CHANGELOG.md"]


def test_debians_packages_are_named_first() -> None:
    first = "\n".join(README.splitlines()[:8])
    assert {"python3", "python3-venv", "python3-dev", "gcc", "make"} <= set(re.findall(r"[\w-]+", first))


def test_entry_points_are_the_catalogs() -> None:
    (text,) = blocks(DOCS["extending.md"], "toml")
    groups = tomllib.loads(text)["project"]["entry-points"]
    assert set(groups) == {catalog.providers.group, catalog.strategies.group, catalog.policies.group}


def test_what_the_readme_shows_works() -> None:
    """Each curl, and the three lines of Python, against the default configuration."""
    config = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    config["server"]["listen"] = "127.0.0.1:0"
    commands = [
        shlex.split(line) for block in blocks(README, "sh") for line in block.splitlines() if line.startswith("curl ")
    ]
    with Gateway(config) as gateway:
        there = set(httpx.get(f"{gateway.url}/openapi.json", timeout=10).json()["paths"])
        shown = set()
        for command in commands:
            url = next(word for word in command if word.startswith("http")).replace(
                "http://127.0.0.1:8080", gateway.url
            )
            body = command[command.index("-d") + 1] if "-d" in command else None
            answer = httpx.request("POST" if body else "GET", url, content=body, timeout=30)
            assert answer.status_code == 200, command
            assert ("-N" in command) == answer.headers["content-type"].startswith("text/event-stream")
            shown.add(url.removeprefix(gateway.url))
        lines = httpx.get(f"{gateway.url}/metrics", timeout=10).text.splitlines()
        assert {line.split()[2] for line in lines if line.startswith("# TYPE ")} <= set(METRICS)
        assert there == {path.replace("/echo", "/{id}") for path in shown} | {"/live", "/ready"}
        (python,) = blocks(README, "python")
        said = io.StringIO()
        with redirect_stdout(said):
            exec(python.replace("http://127.0.0.1:8080", gateway.url), {})
        assert said.getvalue() == "Hello\n"


def test_operating_it_is_as_the_readme_tells(tmp_path: Path) -> None:
    """Line by line, as at a prompt; each brings about what its comment says."""
    (block,) = [block for block in blocks(README, "sh") if "kill -HUP" in block]
    expected = [["workers 2"], ["reloading", "reloaded"], ["worker has died"], ["draining", "stopped"]]
    config = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    config["server"]["listen"] = "127.0.0.1:0"
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    environ = {**os.environ, "GATEWAY_CONFIG": str(tmp_path / "gateway.yaml")}
    said = tmp_path / "said"
    with said.open("w") as out:
        shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=ROOT, env=environ)
    assert shell.stdin is not None
    try:
        for line, words in zip(block.splitlines(), expected, strict=True):
            command, _, comment = line.partition("#")
            before = len(said.read_text())
            shell.stdin.write(command.replace(".venv/bin/llm-gateway", f"{sys.executable} -m gateway").encode() + b"\n")
            shell.stdin.flush()
            for word in words:
                assert word in comment
                eventually(partial(has_said, word, said, before), what=f"{word} after {command}")
        shell.communicate(b"wait $!; exit $?", 40)
        assert shell.returncode == 0
    finally:
        if shell.returncode is None:
            shell.communicate(b"kill -TERM $!; wait $!", 40)


def has_said(word: str, said: Path, since: int) -> bool:
    return word in said.read_text()[since:]


def test_what_is_said_about_the_command_line_is_true() -> None:
    assert "`$GATEWAY_CONFIG`" in README
    parser = command_line._parser()
    assert {word for action in parser._actions for word in action.option_strings} == {"-h", "--help"}
    (commands,) = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    options = {word for action in commands["run"]._actions for word in action.option_strings} - {"-h", "--help"}
    assert options == {"--config", "--workers", "--pid-file", "--port-file"}
    for option in options:
        assert option in README + DOCS["operating.md"], option
