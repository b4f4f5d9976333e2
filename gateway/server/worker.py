"""One worker: an event loop, the lane, the control channel to the supervisor.

It begins with the configuration that was approved, taken over from the supervisor's memory by the fork; later ones
come over the channel. It reads no file of the configuration. One that cannot be adopted is reported, and what runs
goes on as it is: the supervisor puts another worker in its place.

A SIGTERM of its own asks the supervisor for a replacement, new before old; a second one, or the end of the channel,
which is the supervisor's end, drains. Whoever stops the whole gateway by a signal to each of its processes gets what
the supervisor says, too: it hears the same signal.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import signal
import ssl
import time
from collections.abc import Coroutine
from typing import Any

import uvloop
from aiohttp import web

from gateway import __version__
from gateway._fast import Arena, LimitTable
from gateway.carry_over import Leftovers, close, gone
from gateway.config import Config
from gateway.deadlines import TimerWheel
from gateway.lanes.aiohttp_server import HttpServer
from gateway.lanes.application import Application
from gateway.lanes.control_plane import ControlPlane
from gateway.lanes.fast_lane import FastLane
from gateway.lanes.generations import Generations
from gateway.roster import Roster, State
from gateway.server.channel import (
    Accept,
    Adopt,
    Adopted,
    Channel,
    Drain,
    Drained,
    Failed,
    Finish,
    Leaving,
    Message,
    Ready,
    Release,
    Reopen,
    Retire,
    Stop,
)
from gateway.server.children import BROKEN
from gateway.server.departure import CUT, Departure, Mode
from gateway.server.doors import Doors
from gateway.server.fleet_meters import generation_shown
from gateway.server.handshakes import context_of
from gateway.server.title import set_title
from gateway.server.watch import beat_interval
from gateway.server.worker_logs import WorkerLogs
from gateway.snapshot import Runtime
from gateway.telemetry.limit_meters import LimitMeters
from gateway.telemetry.memory_meters import MemoryMeters
from gateway.telemetry.meters import Meters
from gateway.telemetry.process_meters import ProcessMeters
from gateway.telemetry.request_meters import RequestMeters
from gateway.wiring import CannotWire, wire

FULL_LINE = 16 << 10  # bytes of a request line or a header
NOT_UP = 3  # the exit status of a worker that could not begin
COLLECT = 50_000, 20, 100  # looking for cycles at every 700th object took 4 % of the time, and requests leave none
STATES = {Mode.RETIRING: State.RETIRING, Mode.DRAINING: State.DRAINING, Mode.STOPPING: State.DRAINING}

log = logging.getLogger("gateway")


def run(slot: int, adopt: Adopt, channel: Channel, arena: Arena) -> int:
    """Be this worker; gives its exit status."""
    set_title(f"worker {slot}")
    arena.join(slot)
    Roster(arena).starts(slot, os.getpid(), time.monotonic_ns())
    worker = Worker(slot, channel, arena)
    try:
        return uvloop.run(worker.serve(adopt))
    except Exception:
        log.exception("the worker has failed", extra={"worker": slot})
        return BROKEN
    finally:
        worker.logs.close()


class Worker:
    """What runs in one process."""

    def __init__(self, slot: int, channel: Channel, arena: Arena) -> None:
        self._slot = slot
        self._channel = channel
        self._arena = arena
        self._roster = Roster(arena)
        self.logs = WorkerLogs()
        self._scrape = Meters(arena)
        self._limits = LimitTable(arena)
        self._process = ProcessMeters(self._scrape)  # these first: no extension can take their names
        self._process.stamp()  # until then others would show zeros for this process
        self._generation_shown = generation_shown(self._scrape)
        self._tables = MemoryMeters(self._scrape), LimitMeters(self._scrape, self._limits)
        self._inbox: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leftovers = Leftovers()
        self._generations = Generations(self._is_quiet)
        self._asked_to_leave = False

    async def serve(self, adopt: Adopt) -> int:
        """Open, serve, leave, close."""
        try:
            self._begin(adopt)
        except Exception as problem:
            self._channel.send(Failed(adopt.generation, _said(problem)))
            log.debug("the worker cannot begin", exc_info=True)
            return NOT_UP
        runner = web.ServerRunner(self._server, shutdown_timeout=CUT)
        await runner.setup()
        gc.collect()
        gc.freeze()  # what lives as long as the process is looked at no more: a full collection took 30 ms
        gc.set_threshold(*COLLECT)
        self._listen_to_the_supervisor()
        self._roster.becomes(self._slot, State.READY)
        self._tell(Ready(adopt.generation))
        obeying = asyncio.create_task(self._obey())
        while self._departure.mode is Mode.SERVING:
            await self._departure.wait()
        server = self._config.server
        left = await self._departure.run(server.drain_delay, server.drain_timeout)
        self._tell(Drained(left.ended, left.cut))
        obeying.cancel()
        if self._fast is not None:
            await self._fast.close(CUT)
        await runner.cleanup()
        last = self._runtime.snapshot
        await close([*self._leftovers.take(last.generation), *gone(last, None)])
        return 0

    # --- beginning, and every configuration ------------------------------------------------------------

    def _begin(self, adopt: Adopt) -> None:
        self._config: Config = pickle.loads(adopt.config)
        lane = adopt.lane or self._config.server.lane
        self.logs.change(self._config.logging)
        self._arena.generation = adopt.generation
        snapshot = wire(self._config, adopt.generation, self._scrape, limits=self._limits)
        meters = RequestMeters(self._scrape)
        meters.build_info(__version__, lane)
        meters.watch_log("application", self.logs.application)
        meters.watch_log("access", self.logs.access)
        self._runtime = Runtime(
            snapshot,
            TimerWheel(),
            self._scrape,
            meters,
            None,
            lane=lane,
            roster=self._roster,
            slot=self._slot,
        )
        self._application = Application(self._runtime, self._generations)
        self._server = HttpServer(
            self._application,
            access_log=None,
            auto_decompress=False,
            lingering_time=0,
            keepalive_timeout=self._config.server.keepalive_timeout,
            max_line_size=FULL_LINE,
            max_field_size=FULL_LINE,
        )
        self._fast = self._open_fast_lane() if lane == "fast" else None
        self._doors = Doors(self._fast or self._server, context_of(self._config.server.tls))
        exchanges, connections = self._fast or self._application, self._fast or self._server
        self._departure = Departure(self._runtime, exchanges, connections, self._doors)
        self._show()
        self._beat()

    def _open_fast_lane(self) -> FastLane:
        return FastLane(
            self._runtime,
            self._generations,
            ControlPlane(self._runtime, self._server.hop),
            keepalive_timeout=self._config.server.keepalive_timeout,
            header_timeout=self._config.server.header_timeout,
        )

    async def _adopt(self, adopt: Adopt) -> None:
        """The supervisor hears what came of it, whatever that is."""
        try:
            await self._doors.speak(self._change(adopt))
        except Exception as problem:
            log.error("a configuration cannot be adopted", extra={"generation": adopt.generation}, exc_info=True)
            self._tell(Failed(adopt.generation, _said(problem)))
        else:
            self._tell(Adopted(adopt.generation))

    def _change(self, adopt: Adopt) -> ssl.SSLContext | None:
        """All of the new configuration, or nothing of it; but should the shared memory be held, nobody can show it.

        Gives what TLS is to be spoken by: the same as before, if nothing of that has changed.
        """
        previous = self._runtime.snapshot
        try:
            config: Config = pickle.loads(adopt.config)
            tls, spoken = config.server.tls, self._config.server.tls
            context = self._doors.context if tls == spoken else context_of(tls)
            self._arena.generation = adopt.generation
            snapshot = wire(config, adopt.generation, self._scrape, previous=previous, limits=self._limits)
            try:
                self.logs.change(config.logging)
            except OSError:
                self._task(close(gone(snapshot, previous)))  # what was made for it
                raise
        except Exception:
            self._arena.generation = previous.generation
            raise
        self._config = config
        self._runtime.snapshot = snapshot
        self._leftovers.leave(previous, snapshot)
        self._server.change(keepalive_timeout=config.server.keepalive_timeout)
        if self._fast is not None:
            self._fast.change(
                keepalive_timeout=config.server.keepalive_timeout, header_timeout=config.server.header_timeout
            )
        self._show()
        return context

    def _show(self) -> None:
        """What follows from the configuration that has just been adopted."""
        snapshot = self._runtime.snapshot
        self._runtime.access_log = self.logs.access_log
        self._generation_shown.set(snapshot.generation)
        self._scrape.keep(snapshot.generation, {"provider": snapshot.providers, "model": snapshot.plans})
        for name in self._config.providers:
            self._runtime.meters.provider(name)
        self._roster.adopts(self._slot, snapshot.generation)
        self._generations.adopt(snapshot.generation)

    def _is_quiet(self, generation: int) -> None:
        """No exchange of an older generation runs."""
        if parts := self._leftovers.take(generation):
            self._task(close(parts))
        self._scrape.forget()
        self._roster.is_quiet(self._slot, generation)

    def _beat(self) -> None:
        """The next one is due whatever happens in this one: a silent worker is killed."""
        asyncio.get_running_loop().call_later(beat_interval(self._config.server.worker_timeout), self._beat)
        self._roster.beat(self._slot, time.monotonic_ns())
        self._process.stamp()

    # --- the supervisor ---------------------------------------------------------------------------------

    def _listen_to_the_supervisor(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel, self._hear)
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        loop.add_signal_handler(signal.SIGUSR1, self.logs.reopen)

    def _hear(self) -> None:
        for each in self._channel.receive():
            self._inbox.put_nowait(each)
        if self._channel.ended:
            asyncio.get_running_loop().remove_reader(self._channel)
            if self._departure.urge(Mode.DRAINING):
                log.warning("the supervisor is gone; draining", extra={"worker": self._slot})

    def _tell(self, message: Message) -> None:
        self._channel.send(message)
        if self._channel.pending:
            asyncio.get_running_loop().add_writer(self._channel, self._flush)

    def _flush(self) -> None:
        self._channel.flush()
        if not self._channel.pending:
            asyncio.get_running_loop().remove_writer(self._channel)

    async def _obey(self) -> None:
        """One message after the other, in their order."""
        while True:
            message, descriptors = await self._inbox.get()
            try:
                await self._do(message, descriptors)
            except Exception:
                log.exception("a message of the supervisor cannot be obeyed: %s", type(message).__name__)

    async def _do(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case Accept(sockets, tls):
                for number, descriptor in zip(sockets, descriptors):
                    await self._doors.open(number, descriptor, tls=tls)
                if len(descriptors) < len(sockets):  # whoever waits there would wait for ever
                    log.error("too many open files to accept connections; another worker has to do it")
                    self._tell(Leaving())
            case Release(sockets):
                self._doors.release(sockets)
            case Finish(sockets):
                self._task(self._doors.finish(sockets))
            case Adopt():
                await self._adopt(message)
            case Reopen():
                self.logs.reopen()
            case Retire():
                self._go(Mode.RETIRING)
            case Drain():
                self._go(Mode.DRAINING)
            case Stop():
                self._go(Mode.STOPPING)

    def _leave(self) -> None:
        """SIGTERM to this process alone. The gateway stays: its sockets are not shut, others accept on them."""
        insists = self._asked_to_leave and self._departure.mode < Mode.DRAINING
        if insists:
            self._doors.leave()
            self._go(Mode.DRAINING)
        self._asked_to_leave = True
        self._tell(Leaving(gone=insists))

    def _go(self, mode: Mode) -> None:
        if self._departure.urge(mode):
            self._roster.becomes(self._slot, STATES[mode])

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _said(problem: Exception) -> str:
    """For the supervisor's log. The words of what is not ours are withheld: they might quote a setting."""
    return str(problem) if isinstance(problem, (CannotWire, OSError)) else type(problem).__name__
