"""The Makefile, CI, the image and what stands behind them say what they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway import wiring
from workshop import environment, machine, parts, suite
from workshop.parts import Part, Trouble
from workshop.targets import TARGETS

ROOT = Path(__file__).parent.parent


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # a make around this test would hand its own flags down
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_help_lists_every_target() -> None:
    said = make("help").stdout
    listed = re.findall(r"^  make (\w+)\s+\w", said, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert listed == phony[1].split()
    assert set(listed) - {"help"} == set(TARGETS)


def test_plain_make_prints_the_help() -> None:
    assert make().stdout == make("help").stdout


def test_a_missing_python_is_named_with_its_packages() -> None:
    done = make("build", "PYTHON=python3.999")
    assert done.returncode != 0
    assert "python3.999 is missing: apt-get install python3 python3-venv python3-dev gcc make" in done.stderr


def test_an_unknown_target_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workshop", "fly"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "run|build|test|check" in done.stderr


def test_ci_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"
    assert "- run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()


def test_what_the_image_copies_is_there_and_let_in() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if re.match(r"COPY (?!--from)", line) for name in line.split()[1:-1]]
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(f"!{part}" in let_in for part in (name, name.split("/")[0])), name


def test_the_image_copies_what_the_package_is_made_of() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [settings["project"]["readme"], *settings["project"]["license-files"], "setup.py", "gateway"]
    needed += [name for names in settings["tool"]["setuptools"]["data-files"].values() for name in names]
    first_stage = (ROOT / "Dockerfile").read_text().partition("pip install")[0]
    copied = {name for line in first_stage.splitlines() if line.startswith("COPY") for name in line.split()[1:-1]}
    assert set(needed) <= copied


def test_the_package_has_all_that_the_compiled_core_is_made_of() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = {Path(mask).suffix for mask in settings["package-data"]["gateway._fast"]} | {".py", ".pyx"}
    made = {".so", ".c", ".html"}
    found = {path.suffix for path in (ROOT / "gateway/_fast").iterdir() if path.is_file()} - made
    assert found <= shipped | {".md"}
    beside = {f"*{path.suffix}" for path in (ROOT / "gateway").glob("*.pxd")}  # without them less of it is compiled
    assert beside <= set(settings["package-data"]["gateway"])


def test_a_wheel_holds_nothing_of_an_earlier_build(tmp_path: Path) -> None:
    package = tmp_path / "gateway"
    package.mkdir()
    for name in ("gone.py", "wiring.cpython-311-x86_64-linux-gnu.so", "relay.cpython-311-x86_64-linux-gnu.so"):
        (package / name).write_text("")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    environ = {**os.environ, "GATEWAY_BUILD": "release"}
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
    assert (package / "wiring.py").exists()
    assert not (package / "gone.py").exists()
    assert [path.name.partition(".")[0] for path in package.glob("*.so")] == ["relay"]


def test_the_image_listens_to_the_outside_where_its_health_check_looks() -> None:
    assert wiring.load([ROOT / "config/container.yaml"]).server.listen == ("0.0.0.0:8080",)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "http://127.0.0.1:8080/health/live" in dockerfile
    assert re.search(r"^USER (?!0|root)", dockerfile, re.MULTILINE)


def test_the_lock_pins_all_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    pins = dict(line.split("==") for line in (ROOT / environment.LOCK).read_text().splitlines() if "==" in line)
    locked = {plain(name): pin for name, pin in pins.items()}
    for requirement in wanted:
        name, _, exact = re.sub(r"\[.*\]|;.*", "", requirement).partition("==")
        name = plain(re.split(r"[<>=!~ ]", name)[0])
        if name == "setuptools":
            continue  # pip freeze leaves it out; pyproject.toml pins it
        assert name in locked, f"{name} is not in {environment.LOCK}: make lock"
        assert exact.strip() in ("", locked[name]), f"{requirement} and {environment.LOCK} differ: make lock"


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_digest_changes_with_content_and_facts(tmp_path: Path) -> None:
    source = tmp_path / "a"
    absent = environment.digest([source], "x")
    source.write_text("1")
    first = environment.digest([source], "x")
    source.write_text("2")
    assert len({absent, first, environment.digest([source], "x"), environment.digest([source], "y")}) == 4


def test_a_passing_part_is_one_line_and_its_quote() -> None:
    part = Part("greet", [sys.executable, "-c", "print('TOTAL 9\\nnoise')"], quote="TOTAL")
    part.run()
    assert re.fullmatch(r"TOTAL 9\ngreet: ok in \d+\.\d s", part.report())


def test_a_failing_part_shows_everything_and_the_lane_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    bad = Part("bad", [sys.executable, "-c", "print('why'); raise SystemExit(3)"])
    gone = Part("gone", ["./there-is-no-such-program"])
    ran: list[str] = []
    after = Part("after", lambda: ran.append("after"))
    assert parts.run_lanes([[bad, after], [gone]]) == 1
    assert (bad.code, gone.code, after.code, ran) == (3, 1, 0, ["after"])
    said = capsys.readouterr().out
    assert "why\nbad: FAILED" in said
    assert "gone: FAILED" in said


LEAVES_SOMEBODY = """
import os, sys, time
print("said", flush=True)
if os.fork() == 0:
    time.sleep(20)
print("last", end="", flush=True)
"""


def test_what_a_command_leaves_behind_holds_nothing_up() -> None:
    command = [sys.executable, "-c", LEAVES_SOMEBODY]
    part = Part("leaves", command)
    part.run()
    assert (part.code, part.output) == (0, "said\nlast")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert list(suite.lines(process)) == ["said\n", "last"]
    assert part.seconds < 15


def test_lanes_that_pass_give_zero() -> None:
    assert parts.run_lanes([[Part("a", lambda: None)], [Part("b", lambda: None)]]) == 0


def test_the_closing_line_of_pytest_is_kept_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.all_but_last(["\n", "a\n", "\n", "== 3 passed in 1s ==\n", "\n"]) == "== 3 passed in 1s =="
    assert capsys.readouterr().out == "\na\n\n"


def test_times_name_what_failed() -> None:
    said = suite.times([Part("tests", [], seconds=12.34), Part("mypy", [], code=1, seconds=2)], 14.5).splitlines()
    assert said[2:] == ["  tests     12.3 s", "  mypy       2.0 s  FAILED", "  in all    14.5 s"]


def test_missing_packages_are_named_with_the_line_to_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "BUILD_NEEDS", {"gcc": lambda: False, "make": lambda: True})
    with pytest.raises(Trouble, match=r"(?s)missing on this machine: gcc\ncure: (sudo )?apt-get install gcc$"):
        machine.require_build()


def test_what_may_not_be_installed_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.offer({"nginx": lambda: False, "npm": lambda: True})
    assert "left out: nginx (sudo apt-get install nginx)" in capsys.readouterr().out


def test_a_trouble_is_one_sentence_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    from workshop.targets import guarded

    def target() -> int:
        raise Trouble("the disk is full")

    assert guarded(target)() == 1
    assert capsys.readouterr().out == "the disk is full\n"
