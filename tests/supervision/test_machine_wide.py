"""What is true for the machine, whichever worker answers: how many may be in flight, and what has been counted."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from tests.harness import FakeProvider, Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import clients
from tests.harness.sampling import only_growing, read
from tests.server.raw import Wire, request
from tests.supervision.instance import QUICK, SLOW, configuration, kill, pids, reload, repeats

MOST = 12
ESTABLISHED = 1  # a state of the kernel
STREAM = b'{"model":"slow","stream":true,"messages":[{"role":"user","content":"' + b"word " * 2000 + b'"}]}'
ASK = b'{"model":"quick","messages":[{"role":"user","content":"hello"}]}'


def held(stack: ExitStack, gateway: Gateway, number: int) -> list[Wire]:
    """So many streams, which have begun."""
    wires = []
    for _ in range(number):
        wire = stack.enter_context(Wire(gateway.port)).send(request(STREAM))
        assert wire.head()[0] == 200
        wires.append(wire)
    return wires


def status(gateway: Gateway) -> int:
    with Wire(gateway.port) as wire:
        return wire.ask(request(ASK)).status


def test_no_more_than_so_many_are_in_flight_over_all_workers(stack: ExitStack) -> None:
    with Gateway(configuration(server={"max_in_flight": MOST})) as gateway:
        wires = held(stack, gateway, MOST)
        workers = pids(gateway)
        ours = {wire.socket.getsockname()[1] for wire in wires}
        shares = [len(clients(pid, gateway.port) & ours) for pid in workers]
        assert sum(shares) == MOST
        assert all(shares), "one worker has them all: this proves nothing"
        assert {status(gateway) for _ in range(20)} == {503}
        assert gateway.metrics()["llm_gateway_active_requests"] == MOST
        wires.pop().__exit__()
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == MOST - 1)
        for _ in range(20):  # a place is given back just after the answer's last byte
            eventually(lambda: status(gateway) == 200, what="the one place that is free")
        kill(gateway, workers[0])
        left = MOST - 1 - sum(has_ended(wire) for wire in wires)
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == left, what="the dead's are not counted")
        held(stack, gateway, MOST - left)
        assert {status(gateway) for _ in range(20)} == {503}
        stack.close()
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)


def has_ended(wire: Wire) -> bool:
    """The connection is no more: its worker was killed."""
    state: int = wire.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != ESTABLISHED


def test_what_is_in_flight_counts_on_when_a_reload_changes_the_limit(stack: ExitStack) -> None:
    config = configuration(server={"max_in_flight": MOST})
    with Gateway(config) as gateway:
        wires = held(stack, gateway, 6)
        for limit in (6, 3):
            reload(gateway, {**config, "server": {**config["server"], "max_in_flight": limit}})
            assert {status(gateway) for _ in range(10)} == {503}
        reload(gateway, {**config, "server": {**config["server"], "max_in_flight": 7}})
        for _ in range(5):
            eventually(lambda: status(gateway) == 200, what="the seventh place")
        held(stack, gateway, 1)
        assert {status(gateway) for _ in range(10)} == {503}
        wires.pop().__exit__()
        eventually(lambda: status(gateway) == 200, what="a place is given back to whom it was taken from")
        stack.close()


def test_metrics_are_the_same_through_any_worker_and_count_all() -> None:
    with FakeProvider() as far:
        far.answer(repeats)
        with Gateway(configuration(far.url)) as gateway:
            address = ("127.0.0.1", gateway.port)
            with (
                Load(address, kept=4, fresh=4, model=QUICK) as quick,
                Load(address, streams=8, words=5, model=SLOW) as slow,
                Load(address, kept=2, streams=2, words=5, model="m") as real,
            ):
                for load in (quick, slow, real):
                    load.goes_on()
            expected = {
                ("quick", QUICK): sum(quick.answered.values()),
                ("slow", SLOW): sum(slow.answered.values()),
                ("p0", "m"): sum(real.answered.values()),
            }
            pages = [dict(only_growing(read(gateway.port))) for _ in range(20)]
            for (provider, model), count in expected.items():
                labels = f'provider="{provider}",model="{model}"'
                for page in pages:
                    assert page[f'llm_gateway_requests_total{{{labels},status="200"}}'] == count
                    assert page[f"llm_gateway_request_duration_seconds_count{{{labels}}}"] == count
            ours = [{name: v for name, v in page.items() if name.startswith("llm_gateway_request")} for page in pages]
            assert all(page == ours[0] for page in ours)
            assert real.answered["stream"] + real.answered["kept"] == len(far.seen)
