"""The command line: ``llm-gateway run | check | explain | schema | version``.

Nothing heavy is imported before the command is known. Exit codes: 0 done, 1 the configuration is wrong, the address
is taken, another instance holds the pid file or no worker comes up, 2 the command line is wrong. What is asked for
goes to stdout, what is wrong to stderr.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Config
    from gateway.server.verdict import Approved
    from gateway.snapshot import Snapshot

DEFAULTS = (  # in a checkout, and where a wheel puts it
    Path(__file__).parent.parent / "config" / "default.yaml",
    Path(sys.prefix) / "share" / "llm-gateway" / "default.yaml",
)

MOST_WORKERS = 254  # as in `server.workers`


def main(arguments: list[str] | None = None) -> int:
    _open_what_was_closed()
    chosen = _parser().parse_args(arguments)
    try:
        command: int = chosen.command(chosen)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `llm-gateway schema | head`: whoever read has enough
        _print_no_more()
        return 1
    return command


def _open_what_was_closed() -> None:
    """As with `>&-`. Else the next file or socket of ours gets the number, and what is printed goes there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _print_no_more() -> None:
    """The interpreter flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(chosen: argparse.Namespace) -> int:
    """Serve until told to stop."""
    files = chosen.config or _default_files()
    if not files:
        print("llm-gateway: no configuration; name one with --config FILE or in $GATEWAY_CONFIG", file=sys.stderr)
        return 1
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the supervisor hears it: the configuration is read anyway

    from gateway.server.supervisor import CannotStart
    from gateway.server.supervisor import run as serve

    try:
        return serve(
            files,
            announce=_welcome,
            workers=chosen.workers,
            port_file=chosen.port_file,
            pid_file=chosen.pid_file,
        )
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1


def check(chosen: argparse.Namespace) -> int:
    """Print every problem of a configuration: those for which a start or a reload would refuse it."""
    from gateway.server.examination import examine
    from gateway.server.verdict import Refused

    found = examine(chosen.files, None)
    if isinstance(found, Refused):
        print(found.text, end="", file=sys.stderr)
        return 1
    for warning in found.warnings:
        print(f"warning: {warning}")
    print(f"{', '.join(map(str, chosen.files))}: good (models: {len(found.models)})")
    return 0


def explain(chosen: argparse.Namespace) -> int:
    """Print the assembled path of a request."""
    config = _load(chosen.file)
    snapshot = None if config is None else _wire(config)
    if snapshot is None:
        return 1
    if chosen.model is not None and chosen.model not in snapshot.plans:
        print(f'{chosen.file}: no model "{chosen.model}"; there are {", ".join(snapshot.plans)}', file=sys.stderr)
        return 1
    from gateway.explanation import explanation

    print(explanation(snapshot, chosen.model))
    return 0


def schema(_: argparse.Namespace) -> int:
    """Print the JSON Schema of a configuration file."""
    import json

    from gateway import wiring
    from gateway.catalog import UnknownName
    from gateway.config import schema as configuration_schema

    assert wiring.SHIPPED
    try:
        print(json.dumps(configuration_schema(), indent=2))
    except UnknownName as problem:  # an installed package publishes what cannot be loaded
        print(f"llm-gateway: {problem}", file=sys.stderr)
        return 1
    return 0


def version(_: argparse.Namespace) -> int:
    print(f"llm-gateway {__version__}")
    return 0


def _load(file: Path) -> Config | None:
    """The checked configuration, or None after its problems were printed."""
    from gateway import wiring
    from gateway.config import ConfigError, render_problems

    try:
        return wiring.load([file])
    except ConfigError as wrong:
        print(render_problems(wrong), end="", file=sys.stderr)
        return None


def _wire(config: Config) -> Snapshot | None:
    """The wired configuration, or None after it was said what cannot be wired."""
    from gateway.config import render_problems
    from gateway.wiring import CannotWire, wire

    try:
        return wire(config)
    except CannotWire as wrong:
        print(render_problems(wrong), end="", file=sys.stderr)
        return None


def _default_files() -> list[Path]:
    """`$GATEWAY_CONFIG`, or the one that was shipped, if it is still there."""
    named = os.environ.get("GATEWAY_CONFIG")
    return [Path(named)] if named else [file for file in DEFAULTS if file.exists()][:1]


def _welcome(approved: Approved, where: Sequence[str]) -> None:
    """What is running, and something to paste: in one write, so that who waits for the first line finds the others.

    Nobody need read it: a closed pipe or a full disk is no reason not to serve.
    """
    settings, urls = approved.settings, [_url(each) for each in where]
    told = f"lane {settings.lane}, workers {settings.workers}, process {os.getpid()}"
    said = f"llm-gateway {__version__} on {', '.join(urls)}  ({told})\nmodels: {', '.join(approved.models) or 'none'}\n"
    if approved.models:
        said += f"try: curl -N {_called(urls)}/v1/chat/completions -d {_example(approved.models[0])}\n"
    with suppress(OSError):
        for warning in approved.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    try:
        sys.stdout.write(said)
        sys.stdout.flush()
    except OSError:
        _print_no_more()


def _url(where: str) -> str:
    """What listens everywhere is called by the address of this machine to itself."""
    if where.startswith("unix:"):
        return where
    scheme, place = ("https", where.removeprefix("tls:")) if where.startswith("tls:") else ("http", where)
    return f"{scheme}://{place}".replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _called(urls: Sequence[str]) -> str:
    """An address in curl's words; by its number, which no certificate names, only if there is no other."""
    url = next((each for each in urls if not each.startswith("https:")), urls[0])
    path = url.removeprefix("unix:")
    if path != url:
        return f"--unix-socket {shlex.quote(path)} http://localhost"
    return f"--insecure {url}" if url.startswith("https:") else url


def _example(model: str) -> str:
    """A request for the shell; a model's name may hold quotes."""
    import json

    message = {"role": "user", "content": "Hello, gateway"}
    return shlex.quote(json.dumps({"model": model, "stream": True, "messages": [message]}))


def _workers(written: str) -> int:
    if not written.isdecimal() or not 1 <= int(written) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be 1 to {MOST_WORKERS}, not {written!r}")
    return int(written)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm-gateway", description="An LLM inference gateway.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("run", help="serve")
    one.add_argument(
        "--config",
        action="append",
        type=Path,
        metavar="FILE",
        help="repeatable, later over earlier; or $GATEWAY_CONFIG",
    )
    one.add_argument("--workers", type=_workers, metavar="N", help="as many processes, whatever the configuration says")
    one.add_argument("--pid-file", type=Path, metavar="FILE", help="write the process there; a second one is refused")
    one.add_argument("--port-file", type=Path, metavar="FILE", help="write the port there once it is known")
    one.set_defaults(command=run)

    one = commands.add_parser("check", help="print every problem of a configuration")
    one.add_argument("files", nargs="+", type=Path, metavar="FILE", help="later over earlier")
    one.set_defaults(command=check)

    one = commands.add_parser("explain", help="print the path of a request, policies and targets in order")
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("model", nargs="?", metavar="MODEL")
    one.set_defaults(command=explain)

    one = commands.add_parser("schema", help="print the JSON Schema of a configuration file, for editors")
    one.set_defaults(command=schema)
    one = commands.add_parser("version", help="print the version")
    one.set_defaults(command=version)
    return parser


if __name__ == "__main__":
    sys.exit(main())
