"""The checker: what it finds out about a configuration, in a process of its own."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config
from gateway.server.checker import start_check
from gateway.server.examination import own_meters
from gateway.server.verdict import Approved, Refused
from gateway.telemetry.families import Family
from tests.harness import eventually
from tests.server.test_checker_end import is_gone

CANARY = "sk-canary-3141592653589793"
GOOD = """
server: {listen: ["127.0.0.1:0", "unix:/run/a.sock"], workers: 3}
providers:
  o: {type: openai, auth: {type: api_key, key: "${env:CANARY}"}, models: {m: {}}}
  e: {type: echo, models: {m: {}, n: {}}}
models: {smart: {targets: [{provider: e, model: n}]}}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", CANARY)


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    def checked(text: str, **options: Any) -> Approved | Refused:
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        return start_check([file], **options).wait()

    return checked


def test_a_good_configuration_comes_back_whole(checked: Any) -> None:
    found = checked(GOOD)
    assert isinstance(found, Approved)
    assert [address.text for address in found.settings.addresses] == ["127.0.0.1:0", "unix:/run/a.sock"]
    assert (found.settings.workers, found.settings.workers_forced) == (3, False)
    assert found.models == ("smart", "m", "n")
    assert found.warnings == ()
    config = pickle.loads(found.config)
    assert isinstance(config, Config)
    assert config.providers["o"].secrets() == (CANARY,)


def test_the_command_line_says_how_many_workers(checked: Any) -> None:
    found = checked(GOOD, workers=7)
    assert (found.settings.workers, found.settings.workers_forced, found.settings.workers_written) == (7, True, "3")


def test_a_secret_is_in_the_configuration_alone(checked: Any, capfd: pytest.CaptureFixture[str]) -> None:
    found = checked(GOOD + "logging: {level: debug}\n")
    assert CANARY.encode() in found.config
    assert "canary" not in repr((found.settings, found.warnings, found.models)) + "".join(capfd.readouterr())


def test_every_problem_as_check_prints_it(checked: Any, tmp_path: Path) -> None:
    found = checked("server: {listne: x}\nprovider: {}\n")
    assert isinstance(found, Refused)
    assert [problem.partition(";")[0] for problem in found.problems] == [
        f"{tmp_path}/gateway.yaml:1:10: server.listne: unknown key",
        f"{tmp_path}/gateway.yaml:2:1: provider: unknown key",
    ]
    assert found.text == "\n".join(found.problems) + "\n2 problems\n"
    assert checked("a: 1").text.endswith("\n1 problem\n")


def test_warnings_come_along(checked: Any, tmp_path: Path) -> None:
    (warning,) = checked("providers: {o: {type: openai, auth: {type: api_key, key: sk-plain}}}").warnings
    assert warning.startswith(f"{tmp_path}/gateway.yaml:1:")
    assert "sk-plain" not in warning


def test_a_log_that_cannot_be_written_is_a_problem_and_nothing_is_created(checked: Any, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "log"
    found = checked(f"logging: {{log: {nowhere}, access_log: {tmp_path}}}")
    at = 30 + len(str(nowhere))
    cure = "see the path and who owns it"
    assert found.problems == (
        f"{tmp_path}/gateway.yaml:1:16: logging.log: cannot write {nowhere}: its folder does not exist; {cure}",
        f"{tmp_path}/gateway.yaml:1:{at}: logging.access_log: cannot write {tmp_path}: it is a folder; {cure}",
    )
    fine = tmp_path / "access.log"
    assert isinstance(checked(f"logging: {{access_log: {fine}}}"), Approved)
    assert not fine.exists()


PLUG_IN = """
import os, subprocess, sys, threading, time
from gateway.config import PolicyOptions

class Policy:
    class Options(PolicyOptions):
        model_config = {"arbitrary_types_allowed": True}
        word: str = ""
    def __init__(self, options): ...
    def admit(self, exchange): ...
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Somebody's code; gives a configuration that names it. The module is never imported here."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def written(code: str) -> str:
        names.append(f"acme_{len(names)}_{os.urandom(4).hex()}")
        (tmp_path / f"{names[-1]}.py").write_text(PLUG_IN + code)
        return f'policies: [{{type: "{names[-1]}:Policy"}}]\n'

    yield written
    assert not set(names) & set(sys.modules)


def test_a_plug_in_may_print_and_start_what_it_likes(
    checked: Any, plug_in: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it prints goes to stderr, and all that it started ends with the check."""
    before = threading.active_count()
    code = f"""
print("hello from a plug-in")
os.write(1, b"straight to stdout\\n")
sys.stderr.write("and to stderr")
assert sys.stdin.read() == ""
threading.Thread(target=time.sleep, args=(1000,)).start()
child = os.fork()
if child == 0:
    time.sleep(1000)
open({str(tmp_path / "children")!r}, "w").write(f"{{child}} {{subprocess.Popen(['sleep', '1000']).pid}}")
"""
    found = checked(plug_in(code))
    assert isinstance(found, Approved), found
    said = capfd.readouterr()
    assert said.out == ""
    assert {"hello from a plug-in", "straight to stdout", "and to stderr"} <= set(said.err.splitlines())
    assert threading.active_count() == before
    for pid in map(int, (tmp_path / "children").read_text().split()):
        eventually(partial(is_gone, pid), what=f"the end of {pid}")


@pytest.mark.parametrize("family", own_meters().families(), ids=lambda family: family.name)
def test_no_plug_in_takes_the_name_of_a_metric_of_ours(family: Family[Any], checked: Any, plug_in: Any) -> None:
    kind = "counter" if family.name.endswith("_total") else "gauge"
    code = f"""
def count(self, meters):
    meters.{kind}("{family.name}", "Mine.", ("mine",))
Policy.count_with = count
"""
    (problem,) = checked(plug_in(code)).problems
    assert "policies[0]: cannot be built: ValueError" in problem


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import threading\nPolicy.Options.__reduce__ = lambda self: (threading.Lock(), ())",
            "policies[0]: its settings cannot be sent to the workers: PicklingError; Options must be a class that ",
        ),
        (
            "def made():\n    class Options(PolicyOptions): pass\n    return Options\nPolicy.Options = made()",
            "policies[0]: its settings cannot be sent to the workers: AttributeError; ",
        ),
        ("raise ValueError('no')", "policies[0].type: policy "),
        ("sys.exit(0)", "policies[0].type: policy "),
        (
            "def broken(self, options):\n    raise KeyError\nPolicy.__init__ = broken",
            "policies[0]: cannot be built: Key",
        ),
        ("os._exit(0)", "the check of the configuration ended without a result; is a plug-in at fault?"),
        ("os.kill(os.getpid(), 9)", "the check of the configuration was ended by signal 9; is a plug-in at fault?"),
        ("os.closerange(0, 100)\ntime.sleep(1000)", "the check of the configuration ended without a result"),
        ("class Odd(BaseException): pass\nraise Odd(os.environ['CANARY'])", "the check failed: Odd in "),
    ],
)
def test_what_a_plug_in_does_wrong_is_said(
    code: str, said: str, checked: Any, plug_in: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    found = checked(plug_in(code))
    assert isinstance(found, Refused)
    (problem,) = found.problems
    assert said in problem
    assert "canary" not in problem + "".join(capfd.readouterr())
