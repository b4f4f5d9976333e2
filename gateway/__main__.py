"""The command line: ``llm-gateway run | check | explain | schema | version``.

Nothing heavy is imported before the command is known. Exit codes: 0 done, 1 the configuration is wrong or
the address is taken, 2 the command line is wrong. What is asked for goes to stdout, what is wrong to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import __version__

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.snapshot import Snapshot

DEFAULTS = (  # in a checkout, and where a wheel puts it
    Path(__file__).parent.parent / "config" / "default.yaml",
    Path(sys.prefix) / "share" / "llm-gateway" / "default.yaml",
)


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        command: int = chosen.command(chosen)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `llm-gateway schema | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        return 1
    return command


def run(chosen: argparse.Namespace) -> int:
    """Serve until told to stop."""
    files = chosen.config or _default_files()
    if not files:
        print("llm-gateway: no configuration; name one with --config FILE or in $GATEWAY_CONFIG", file=sys.stderr)
        return 1
    config = _load(files)
    if config is None:
        return 1
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    from gateway.server.worker import run as serve
    from gateway.wiring import CannotWire

    try:
        serve(config, port_file=chosen.port_file, announce=lambda where: _welcome(config, where))
    except CannotWire as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as problem:
        failed = f"write {problem.filename}" if problem.filename else f"serve on {config.server.listen}"
        print(f"llm-gateway: cannot {failed}: {problem.strerror or problem}", file=sys.stderr)
        return 1
    return 0


def check(chosen: argparse.Namespace) -> int:
    """Print every problem of a configuration."""
    config = _load(chosen.files)
    snapshot = None if config is None else _wire(config)
    if config is None or snapshot is None:
        return 1
    for warning in config.warnings:
        print(f"warning: {warning}")
    names = ", ".join(str(file) for file in chosen.files)
    print(f"{names}: good (providers: {len(config.providers)}, models: {len(snapshot.plans)})")
    return 0


def explain(chosen: argparse.Namespace) -> int:
    """Print the assembled path of a request."""
    config = _load([chosen.file])
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


def _load(files: list[Path]) -> Config | None:
    """The checked configuration, or None after its problems were printed."""
    from gateway import wiring
    from gateway.config import ConfigError, render_problems

    try:
        return wiring.load(files)
    except ConfigError as wrong:
        print(render_problems(wrong), end="", file=sys.stderr)
        return None


def _wire(config: Config) -> Snapshot | None:
    """The wired configuration, or None after it was said what cannot be wired."""
    from gateway.wiring import CannotWire, wire

    try:
        return wire(config)
    except CannotWire as problem:
        print(problem, file=sys.stderr)
        return None


def _default_files() -> list[Path]:
    """`$GATEWAY_CONFIG`, or the one that was shipped, if it is still there."""
    named = os.environ.get("GATEWAY_CONFIG")
    return [Path(named)] if named else [file for file in DEFAULTS if file.exists()][:1]


def _welcome(config: Config, where: str) -> None:
    """What is running, and something to paste."""
    where = where.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    models = [*config.models, *(model for options in config.providers.values() for model in options.models)]
    print(f"llm-gateway {__version__} on http://{where}  (lane {config.server.lane}, process {os.getpid()})")
    print(f"models: {', '.join(dict.fromkeys(models)) or 'none'}")
    if models:
        print(f"try: curl -N http://{where}/v1/chat/completions -d {_example(models[0])}")
    sys.stdout.flush()


def _example(model: str) -> str:
    """A request for the shell; a model's name may hold quotes."""
    import json
    import shlex

    message = {"role": "user", "content": "Hello, gateway"}
    return shlex.quote(json.dumps({"model": model, "stream": True, "messages": [message]}))


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
