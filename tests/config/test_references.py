"""``${env:}``, ``${file:}`` and further sources, anywhere in a text."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, load, references
from gateway.config.nodes import Scalar
from gateway.config.problems import Place, Problems
from gateway.config.references import Resolver

ENVIRON = {"HOST": "example.org", "EMPTY": "", "NESTED": "${env:HOST}", "PORT": "8080", "BRACES": "a}b${c"}


def resolve(text: str, folder: Path = Path()) -> tuple[str, list[str]]:
    problems = Problems()
    node = Resolver(ENVIRON, problems).resolve(Scalar(Place(str(folder / "x.yaml"), 1, 1), text, text))
    assert isinstance(node, Scalar)
    return str(node.value), [f"{each.problem}; {each.cure}" for each in problems.sorted([])]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:HOST}", "example.org"),
        ("https://${env:HOST}:${env:PORT}/v1", "https://example.org:8080/v1"),
        ("${env:NONE:-fallback}", "fallback"),
        ("${env:NONE:-}", ""),
        ("${env:EMPTY:-fallback}", "fallback"),
        ("${env:HOST:-fallback}", "example.org"),
        ("${env:NONE:-a:-b}", "a:-b"),
        ("${env:NONE:-http://x:1/y}", "http://x:1/y"),
        ("${env:EMPTY}", ""),
        ("$${env:HOST}", "${env:HOST}"),
        ("$$${env:HOST}", "$${env:HOST}"),
        ("a$b $(c) $$ {d}", "a$b $(c) $$ {d}"),
        ("${env:NESTED}", "${env:HOST}"),
        ("${env:BRACES}", "a}b${c"),
    ],
)
def test_what_a_reference_becomes(text: str, value: str) -> None:
    assert resolve(text) == (value, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${env:NONE}", "the environment variable NONE is not set; set it, or write ${env:NONE:-default}"),
        ("${env:HOTS}", "the environment variable HOTS is not set; set it, or write ${env:HOTS:-default}"),
        ("${env:HOSTS}", "the environment variable HOSTS is not set; did you mean HOST?"),
        ("${env:a b}", '"a b" is not a variable\'s name; write ${env:NAME} or ${env:NAME:-default}'),
        ("${HOST}", 'the reference "${HOST}" names no source; write ${env:NAME}'),
        ("${}", 'the reference "${}" names no source; write ${env:NAME}'),
        ("${env:HOST", '"${" without its "}"; close it on the same line, do not nest; $${ is a plain ${'),
        ("${vault:x}", 'unknown source "vault" of a reference; known here: env, file'),
    ],
)
def test_what_cannot_be_followed(text: str, said: str) -> None:
    assert resolve(text)[1] == [said]


def test_several_problems_in_one_text() -> None:
    assert len(resolve("${env:A_A}-${env:B_B}-${env:HOST}")[1]) == 2


@pytest.mark.parametrize(
    ("content", "value"), [(b"key\n", "key"), (b"key", "key"), (b"key\r\n", "key"), (b"a\nb\n\n", "a\nb\n"), (b"", "")]
)
def test_a_file_without_its_last_line_break(content: bytes, value: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_bytes(content)
    assert resolve("${file:secrets/key}", tmp_path) == (value, [])
    assert resolve(f"${{file:{tmp_path}/secrets/key}}") == (value, [])


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (references.MAX_FILE + 1))
    (tmp_path / "latin").write_bytes(b"\xe4")
    (tmp_path / "full").write_bytes(b"x" * references.MAX_FILE)
    assert "larger than 1MiB" in resolve("${file:large}", tmp_path)[1][0]
    assert "not UTF-8" in resolve("${file:latin}", tmp_path)[1][0]
    assert "there is no file" in resolve("${file:none}", tmp_path)[1][0]
    assert "not a regular file" in resolve("${file:.}", tmp_path)[1][0]
    assert "names no file" in resolve("${file:}", tmp_path)[1][0]
    assert "cannot be read: ValueError" in resolve("${file:a\0b}", tmp_path)[1][0]
    assert resolve("${file:full}", tmp_path)[1] == []


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in resolve("${file:pipe}", tmp_path)[1][0]


def vault(argument: str) -> str:
    return f"secret of {argument}"


def silent(argument: str) -> None:
    return None


def failing(argument: str) -> str:
    raise RuntimeError(f"canary: {argument}")


def test_a_third_partys_source(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name, f"{__name__}:{name}", references.GROUP) for name in ("vault", "silent", "failing", "absent")
    ]

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "llm_gateway.secret_sources"
        return [point for point in points if name in (None, point.name)]

    monkeypatch.setattr(references, "entry_points", entry_points)
    assert resolve("<${vault:team/openai#key}>") == ("<secret of team/openai#key>", [])
    assert resolve("${silent:x}")[1] == ['the source "silent" gave no text but a NoneType; see its manual']
    assert resolve("${failing:x}")[1] == ['the source "failing" failed with RuntimeError; see its manual']
    assert resolve("${absent:x}")[1] == ['the source "absent" failed with AttributeError; see its manual']
    assert "known here: env, file, absent, failing, silent, vault" in resolve("${valut:x}")[1][0]


def test_a_reference_may_stand_for_a_number_a_duration_or_a_word(write: Any) -> None:
    path = write("""
        server: {max_in_flight: "${env:N}", drain_timeout: "${env:T}", max_body: "${env:S}"}
        streaming: {drop_malformed: "${env:B}"}
        logging: {level: "${env:L:-debug}"}
        """)
    config = load([path], environ={"N": "7", "T": "5s", "S": "3MiB", "B": "false"})
    assert (config.server.max_in_flight, config.server.drain_timeout, config.server.max_body) == (7, 5.0, 3 << 20)
    assert (config.streaming.drop_malformed, config.logging.level) == (False, "debug")


def test_a_relative_file_begins_at_the_file_that_names_it(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/level").write_text("debug\n")
    (tmp_path / "level").write_text("error\n")
    write('logging: {level: "${file:level}"}', "sub/one.yaml")
    write("server: {}", "two.yaml")
    monkeypatch.chdir(tmp_path)
    assert load(["two.yaml", "sub/one.yaml"], environ={}).logging.level == "debug"
    assert load(["sub/one.yaml", "two.yaml"], environ={}).logging.level == "debug"


def test_what_a_later_file_replaced_is_never_followed(write: Any) -> None:
    first = write('logging: {log: "${env:NONE}"}', "one.yaml")
    second = write("logging: {log: stderr}", "two.yaml")
    assert load([first, second], environ={}).logging.log == "stderr"
    with pytest.raises(ConfigError, match="NONE is not set"):
        load([second, first], environ={})
