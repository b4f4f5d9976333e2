"""One worker: the event loop, the listener, the signals, the drain.

SIGTERM, SIGINT and SIGQUIT drain: readiness turns 503 at once, after `drain_delay` nothing new is
accepted, running answers have `drain_timeout` to finish, what is left is cut. The same signal again stops
now. SIGUSR1 reopens the log files. A changed configuration takes a restart in this version, and SIGHUP
says so in the log instead of ending the process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvloop
from aiohttp import web

from gateway import __version__
from gateway.config import Config
from gateway.deadlines import TimerWheel
from gateway.server.application import Application
from gateway.server.listener import address_of, open_listener
from gateway.server.protocol import HttpServer
from gateway.snapshot import Runtime, Snapshot
from gateway.telemetry import application_log
from gateway.telemetry.log_writer import LogWriter
from gateway.telemetry.meters import Meters
from gateway.telemetry.process_meters import ProcessMeters
from gateway.telemetry.request_meters import RequestMeters
from gateway.wiring import wire

BACKLOG = 4096  # given twice: uvloop listens again, with a default of its own
CUT = 5.0  # seconds for what is cut to close its connections and write its log lines
FULL_LINE = 16 << 10  # bytes of a request line or a header

log = logging.getLogger("gateway")


def run(config: Config, *, port_file: Path | None, announce: Callable[[str], None]) -> None:
    """Serve until told to stop. Raises OSError when the address cannot be listened on."""
    listener = open_listener(*config.server.address, backlog=BACKLOG)
    where = address_of(listener)
    if port_file is not None:
        port_file.write_text(f"{listener.getsockname()[1]}\n")
    uvloop.run(Worker(config, listener).serve(lambda: announce(where)))


class Worker:
    """What runs in one process."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self._config = config
        self._listener = listener
        self._stop = asyncio.Event()
        self._logs: list[LogWriter] = []

    async def serve(self, ready: Callable[[], None]) -> None:
        """Open, serve, drain, close."""
        scrape = Meters()
        runtime = self._runtime(wire(self._config, meters=scrape), scrape)
        self._take_signals()
        server = self._config.server
        application = Application(runtime)
        runner = web.ServerRunner(
            HttpServer(
                application,
                access_log=None,
                auto_decompress=False,
                lingering_time=0,
                keepalive_timeout=server.keepalive_timeout,
                max_line_size=FULL_LINE,
                max_field_size=FULL_LINE,
            ),
            shutdown_timeout=server.drain_timeout + CUT,  # the drain decides, not aiohttp
        )
        await runner.setup()
        await web.SockSite(runner, self._listener, backlog=BACKLOG).start()
        gc.collect()
        gc.freeze()  # what lives as long as the process is looked at no more: a full collection took 30 ms
        ready()
        log.info("listening", extra={"address": address_of(self._listener), "models": len(runtime.snapshot.plans)})
        await self._stop.wait()
        await self._drain(runtime, application, runner)

    async def _drain(self, runtime: Runtime, application: Application, runner: web.ServerRunner) -> None:
        self._stop.clear()
        runtime.draining = True
        log.info("draining", extra={"active": runtime.meters.active.value})
        now = asyncio.create_task(self._stop.wait())
        await asyncio.wait([now], timeout=self._config.server.drain_delay)
        finish = asyncio.create_task(runner.cleanup())
        patience = self._config.server.drain_timeout
        await asyncio.wait([now, finish], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        cut = await application.cut(CUT)
        await asyncio.wait([finish], timeout=CUT)
        for task in (now, finish):
            task.cancel()
        await asyncio.gather(now, finish, return_exceptions=True)
        for upstream in runtime.snapshot.upstreams:
            await upstream.close()
        log.info("stopped", extra={"cut": cut})
        for writer in self._logs:
            writer.close()

    def _runtime(self, snapshot: Snapshot, scrape: Meters) -> Runtime:
        logging_ = self._config.logging
        application = self._log(logging_.log)
        application_log.setup(logging_.level, application)
        access = None if logging_.access_log == "off" else self._log(logging_.access_log)
        ProcessMeters(scrape)
        meters = RequestMeters(scrape)
        meters.build_info(__version__, self._config.server.lane)
        meters.watch_log("application", application)
        if access is not None:
            meters.watch_log("access", access)
        for plan in snapshot.plans.values():
            for target in plan.targets:
                meters.provider(target.provider.name)
        return Runtime(snapshot, TimerWheel(), scrape, meters, access)

    def _log(self, destination: str) -> LogWriter:
        writer = LogWriter(destination)
        self._logs.append(writer)
        return writer

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)
        loop.add_signal_handler(
            signal.SIGHUP, lambda: log.warning("SIGHUP: this version reads its configuration at start only; restart it")
        )

    def _reopen_logs(self) -> None:
        for writer in self._logs:
            writer.reopen()
