"""The command line, as a process: what it prints, where, and how it exits."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx2 as httpx
import pytest

from gateway import __main__ as command_line
from gateway import __version__
from gateway.config import Config, listening
from gateway.server import processors
from gateway.server.settings import settings_of
from gateway.server.verdict import Approved
from tests.harness import Gateway, config_for, eventually

ROOT = Path(__file__).parents[1]
GOOD = "providers: {e: {type: echo, models: {m: {}}}}\n"
HEAVY = ("aiohttp", "asyncio", "pydantic", "yaml", "uvloop", "orjson", "gateway.config", "gateway._fast")


def llm_gateway(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "GATEWAY_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**clean, **(environ or {})},
        timeout=60,
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text("server: {listne: x}\nprovider: {}\n")
    return file


def test_version_is_quick_because_it_imports_nothing_heavy() -> None:
    probe = (
        "import sys; from gateway.__main__ import main; main(['version']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"llm-gateway {__version__}\n[]\n"


@pytest.mark.parametrize("arguments", [(), ("frob",), ("run", "--frob"), ("check",), ("explain",)])
def test_a_wrong_command_line_is_2_and_shows_the_usage(arguments: tuple[str, ...]) -> None:
    done = llm_gateway(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: llm-gateway")


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("check", "--help"), ("explain", "--help")])
def test_help_is_0(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(list(arguments))
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: llm-gateway")


def test_the_schema_is_what_is_shipped() -> None:
    done = llm_gateway("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((ROOT / "config/gateway.schema.json").read_text())


def test_a_reader_that_has_enough_is_no_error() -> None:
    nobody_reads, end = os.pipe()
    os.close(nobody_reads)
    try:
        command = [sys.executable, "-m", "gateway", "schema"]
        done = subprocess.run(command, stdout=end, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    finally:
        os.close(end)
    assert (done.returncode, done.stderr) == (1, "")


def test_check_tells_every_problem_of_every_file(good: Path, bad: Path) -> None:
    done = llm_gateway("check", good, bad)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{bad}:1:10: server.listne: unknown key; did you mean" in done.stderr
    assert f"{bad}:2:1: provider: unknown key; did you mean" in done.stderr
    assert done.stderr.endswith("2 problems\n")


def test_check_of_a_good_file_says_so_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plain.yaml"
    file.write_text("providers: {o: {type: openai, auth: {type: api_key, key: sk-canary}}}\n")
    assert command_line.main(["check", str(file)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith(f"warning: {file}:1:")
    assert said.endswith(f"{file}: good (models: 0)\n")
    assert "canary" not in said


def test_check_wires_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no-provider.yaml"
    file.write_text('providers: {p: {type: "json:loads"}}\n')
    for command in (["check", str(file)], ["explain", str(file)]):
        assert command_line.main(command) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"{file}:1:13: providers.p: cannot be built: TypeError in ")
        assert said.endswith("1 problem\n")


def test_check_refuses_what_a_start_would(tmp_path: Path) -> None:
    """A log that cannot be written, and settings that cannot be sent to the workers."""
    (tmp_path / "acme_local.py").write_text(
        "from gateway.config import PolicyOptions\n"
        "def made():\n    class Options(PolicyOptions): ...\n    return Options\n"
        "class Policy:\n    Options = made()\n"
        "    def __init__(self, options): ...\n    def admit(self, exchange): ...\n"
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f"logging: {{access_log: {tmp_path}/nowhere/log}}\n"
        'policies: [{type: "acme_local:Policy"}]\nserver: {listen: "127.0.0.1:0"}\n'
    )
    environ = {"PYTHONPATH": str(tmp_path)}
    checked = llm_gateway("check", file, environ=environ)
    started = llm_gateway("run", "--config", file, environ=environ)
    assert checked.returncode == started.returncode == 1
    assert checked.stderr == started.stderr
    assert f"{file}:1:23: logging.access_log: cannot write" in checked.stderr
    assert f"{file}:2:12: policies[0]: its settings cannot be sent to the workers" in checked.stderr
    assert checked.stderr.endswith("\n2 problems\n")


def test_a_module_that_exits_while_it_is_imported_is_a_problem_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "acme_script.py").write_text("import sys\nsys.exit(0)\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD + 'policies: [{type: "acme_script:Policy"}, {type: nothing_like_it}]\n')
    done = llm_gateway("check", file, environ={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f'{file}:2:19: policies[0].type: policy "acme_script:Policy" cannot be loaded: SystemExit: 0',
        f'{file}:2:49: policies[1].type: unknown policy "nothing_like_it"; write module:Name',
        "2 problems",
    ]


def test_explain(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["explain", str(good)]) == 0
    assert "m: RoundRobin\n  e -> m " in capsys.readouterr().out
    assert command_line.main(["explain", str(good), "m"]) == 0
    assert "m: RoundRobin" in capsys.readouterr().out
    assert command_line.main(["explain", str(good), "x"]) == 1
    assert capsys.readouterr().err == f'{good}: no model "x"; there are m\n'


def test_run_refuses_before_it_listens(bad: Path, tmp_path: Path) -> None:
    done = llm_gateway("run", "--config", bad, "--port-file", tmp_path / "port")
    assert done.returncode == 1
    assert done.stderr.endswith("2 problems\n")
    assert not (tmp_path / "port").exists()
    done = llm_gateway("run", "--config", tmp_path / "none.yaml")
    assert done.stderr.splitlines()[0] == (
        f"{tmp_path}/none.yaml:1:1: there is no such file; see the path given with --config"
    )
    broken = tmp_path / "no-provider.yaml"
    broken.write_text('server: {listen: "127.0.0.1:0"}\nproviders: {p: {type: "json:loads"}}\n')
    done = llm_gateway("run", "--config", broken)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{broken}:2:13: providers.p: cannot be built: TypeError in ")
    assert "Traceback" not in done.stderr


def test_a_taken_address_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = tmp_path / "taken.yaml"
        file.write_text(f'server: {{listen: "127.0.0.1:{taken.getsockname()[1]}"}}\n{GOOD}')
        done = llm_gateway("run", "--config", file)
    assert done.returncode == 1
    assert re.fullmatch(r"llm-gateway: cannot serve on 127\.0\.0\.1:\d+: Address already in use\n", done.stderr)


@pytest.mark.parametrize("broken", ["log", "access_log"])
def test_a_log_that_cannot_be_written_is_named(broken: str, tmp_path: Path) -> None:
    file, nowhere = tmp_path / "gateway.yaml", tmp_path / "nowhere" / "file"
    file.write_text(GOOD + f'server: {{listen: "127.0.0.1:0"}}\nlogging: {{{broken}: {nowhere}}}\n')
    done = llm_gateway("run", "--config", file)
    place = f"{file}:3:{len('logging: {: ') + len(broken) + 1}: logging.{broken}"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"{place}: cannot write {nowhere}: its folder does not exist; see the path and who owns it",
        "1 problem",
    ]


@pytest.mark.parametrize("option", ["--port-file", "--pid-file"])
def test_a_file_that_cannot_be_written_is_named(option: str, tmp_path: Path) -> None:
    file, nowhere = tmp_path / "gateway.yaml", tmp_path / "nowhere" / "file"
    file.write_text(GOOD + 'server: {listen: "127.0.0.1:0"}\n')
    done = llm_gateway("run", "--config", file, option, nowhere)
    said = f"llm-gateway: cannot write {nowhere}: No such file or directory\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(said)


def test_a_second_instance_is_refused_by_the_pid_file(tmp_path: Path) -> None:
    file, pid_file = tmp_path / "gateway.yaml", tmp_path / "pid"
    file.write_text(GOOD + 'server: {listen: "127.0.0.1:0"}\n')
    with pid_file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711\n")
        held.flush()
        done = llm_gateway("run", "--config", file, "--pid-file", pid_file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"llm-gateway: {pid_file} is locked: another instance runs as process 4711\n"


@pytest.mark.parametrize("number", ["0", "255", "-1", "two", "1.5", ""])
def test_a_number_of_workers_that_cannot_be(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["run", f"--workers={number}"])
    assert ended.value.code == 2
    assert f"argument --workers: must be 1 to {command_line.MOST_WORKERS}, not {number!r}" in capsys.readouterr().err
    assert command_line.MOST_WORKERS == processors.MOST == listening.MOST_WORKERS


def approved(*models: str) -> Approved:
    settings = settings_of(Config(), workers=2, usable=1)
    return Approved(settings, b"", ("a warning",), models)


@pytest.mark.parametrize(
    ("where", "shown", "called"),
    [
        (["127.0.0.1:8080"], "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (["0.0.0.0:80", "[::]:80"], "http://127.0.0.1:80, http://[::1]:80", "http://127.0.0.1:80"),
        (["unix:/run/a b.sock"], "unix:/run/a b.sock", "--unix-socket '/run/a b.sock' http://localhost"),
        (["[::1]:1", "unix:/s"], "http://[::1]:1, unix:/s", "http://[::1]:1"),
        (["tls:0.0.0.0:1", "127.0.0.1:2"], "https://127.0.0.1:1, http://127.0.0.1:2", "http://127.0.0.1:2"),
        (["tls:[::]:1"], "https://[::1]:1", "--insecure https://[::1]:1"),
    ],
)
def test_every_address_is_shown(where: list[str], shown: str, called: str, capsys: pytest.CaptureFixture[str]) -> None:
    command_line._welcome(approved("m", "n"), where)
    said = capsys.readouterr()
    first, models, example = said.out.splitlines()
    assert first == f"llm-gateway {__version__} on {shown}  (lane fast, workers 2, process {os.getpid()})"
    assert models == "models: m, n"
    assert example.startswith(f"try: curl -N {called}/v1/chat/completions -d ")
    assert said.err == "warning: a warning\n"
    command_line._welcome(approved(), where)
    assert capsys.readouterr().out.splitlines()[1:] == ["models: none"]


def test_the_welcome_comes_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is buffered, as in a container: who has read its first line looks for the others."""
    pieces: list[str] = []

    class Unbuffered(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Unbuffered())
    command_line._welcome(approved("m"), ["127.0.0.1:8080"])
    (text,) = pieces
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_host_that_is_none_is_said_in_one_line(host: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD + f'server: {{listen: "{host}:8080"}}\n')
    done = llm_gateway("run", "--config", file)
    assert (done.returncode, done.stderr) == (1, f"llm-gateway: cannot serve on {host}:8080: not a host name\n")


def test_without_any_file_it_asks_for_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An installed package has no config/ beside it."""
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    monkeypatch.setattr(command_line, "DEFAULTS", (Path("/nowhere/default.yaml"),))
    assert command_line.main(["run"]) == 1
    assert "--config FILE or in $GATEWAY_CONFIG" in capsys.readouterr().err


def test_the_file_may_be_named_by_the_environment(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", str(good))
    assert command_line._default_files() == [good]
    monkeypatch.delenv("GATEWAY_CONFIG")
    assert command_line._default_files() == [ROOT / "config/default.yaml"]


def test_later_files_lie_over_earlier_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text('server: {listen: "127.0.0.1:1"}\n' + GOOD)
    second.write_text('server: {listen: "127.0.0.1:0"}\nmodels: {over: {targets: [{provider: e, model: m}]}}\n')
    port = tmp_path / "port"
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", "--config", first, "--config", second, "--port-file", port],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        eventually(port.exists)
        assert lines[0].startswith(f"llm-gateway {__version__} on http://127.0.0.1:{port.read_text().strip()} ")
        assert lines[1] == "models: over, m\n"
        process.terminate()
        assert process.wait(40) == 0


def test_what_is_printed_can_be_pasted() -> None:
    config = config_for()
    config["providers"]["echo"]["models"] = {'it\'s-"quoted"': {}}
    with Gateway(config) as gateway:
        printed = next(line for line in gateway.output.splitlines() if line.startswith("try: "))
        curl, unbuffered, url, data, body = shlex.split(printed.removeprefix("try: "))
        assert (curl, unbuffered, data) == ("curl", "-N", "-d")
        form = {"content-type": "application/x-www-form-urlencoded"}  # what curl says
        answer = httpx.post(url, content=body, headers=form, timeout=30)
    assert "Hello" in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_warning_is_seen_at_start() -> None:
    config = config_for()
    config["providers"]["o"] = {"type": "openai", "auth": {"type": "api_key", "key": "sk-canary"}}
    with Gateway(config) as gateway:
        assert "warning: " in gateway.output
        assert "providers.o.auth.key: a secret in plain text" in gateway.output
        assert "canary" not in gateway.output
