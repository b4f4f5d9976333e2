"""Listening sockets: shared by workers, by nobody else, and shut so that nobody is lost."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from gateway.server.doors import Doors
from gateway.server.listeners import Listener
from gateway.server.settings import Address

LOCAL = Address("127.0.0.1:0", "127.0.0.1", 0)
Open = Callable[..., Listener]


@pytest.fixture
def listen() -> Iterator[Open]:
    opened: list[Listener] = []

    def listen(address: Address = LOCAL, workers: int = 1, **more: list[Listener]) -> Listener:
        opened.append(Listener(address, workers, **more))
        return opened[-1]

    yield listen
    for listener in opened:
        listener.close()


def at(host: str, port: int) -> Address:
    return Address(f"{host}:{port}", host, port)


def test_one_socket_for_each_worker_of_one_free_port(listen: Open) -> None:
    listener = listen(workers=3)
    assert {each.getsockname() for each in listener.sockets.values()} == {("127.0.0.1", listener.port)}
    assert len(listener.sockets) == 3
    assert listener.where == f"127.0.0.1:{listener.port}"
    listener.grow(2)
    assert len(listener.sockets) == 3  # it never shrinks
    listener.grow(4)
    assert len(listener.sockets) == 4
    assert len({number for other in (listener, listen(workers=2)) for number in other.sockets}) == 6


def test_the_kernel_shares_connections_out(listen: Open) -> None:
    listener = listen(workers=3)
    came: Counter[int] = Counter()
    with ExitStack() as stack:
        for _ in range(90):
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        for number, each in listener.sockets.items():
            with suppress(BlockingIOError):
                while True:
                    each.accept()[0].close()
                    came[number] += 1
    assert came.total() == 90
    assert len(came) == 3  # that one of three gets none of 90: 4e-16


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("shares", [False, True], ids=["plain", "with SO_REUSEPORT"])
def test_a_port_that_somebody_has_is_refused(listen: Open, host: str, shares: bool) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="Address already in use"):
            listen(at(host, other.getsockname()[1]), 2)


def test_another_instance_of_ourselves_is_found(listen: Open) -> None:
    port = listen(workers=2).port
    with pytest.raises(OSError, match="Address already in use"):
        listen(at("127.0.0.1", port), 2)


def test_a_wider_address_of_the_same_port_may_stand_beside(listen: Open) -> None:
    """As when a reload changes 127.0.0.1 to 0.0.0.0: the old one goes when the new one serves."""
    narrow = listen(workers=2)
    wide = listen(at("0.0.0.0", narrow.port), 2, beside=[narrow])
    assert wide.where == f"0.0.0.0:{narrow.port}"


def test_ipv6(listen: Open) -> None:
    listener = listen(Address("[::1]:0", "::1", 0), 2)
    assert listener.where == f"[::1]:{listener.port}"
    with socket.create_connection(("::1", listener.port)):
        pass


def test_what_is_refused_is_refused_for_all_holders(listen: Open) -> None:
    listener = listen(workers=2)
    held = [socket.socket(fileno=os.dup(each.fileno())) for each in listener.sockets.values()]
    listener.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port))
    listener.refuse()  # once more does no harm
    for each in held:
        each.close()


# --- unix sockets -------------------------------------------------------------------------------------------


def unix(path: Path) -> Address:
    return Address(f"unix:{path}", path=str(path))


def connect(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX)
    try:
        end.connect(str(path))
    except OSError:
        end.close()
        raise
    return end


def test_a_unix_socket_is_one_for_all_and_anybody_may_connect(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    listener = listen(unix(path), 3)
    assert len(listener.sockets) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert (listener.where, listener.port, listener.shared) == (f"unix:{path}", 0, True)
    connect(path).close()
    listener.close()
    assert not path.exists()


def test_a_stale_file_is_replaced_and_an_answered_one_is_not(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    listener = listen(unix(path))
    with pytest.raises(OSError, match="Address already in use"):
        listen(unix(path))
    connect(path).close()
    listener.close()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_socket_stays(listen: Open, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    path.symlink_to("elsewhere") if kind == "link" else path.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        listen(unix(path))
    assert path.is_symlink() or path.read_text() == "precious"


def test_a_file_that_somebody_else_has_put_there_stays(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    listener = listen(unix(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listener.close()
        assert path.exists()


# --- the last ones in the queue -----------------------------------------------------------------------------


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_whoever_waits_is_served_before_it_is_refused(listen: Open, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gateway.sock"
    listener = listen(unix(path) if kind == "unix" else LOCAL, 2)

    def dial() -> socket.socket:
        return connect(path) if kind == "unix" else socket.create_connection(("127.0.0.1", listener.port))

    async def serve() -> list[bytes]:
        doors = Doors(Greeter)
        for number, each in listener.sockets.items():
            await doors.open(number, os.dup(each.fileno()))
        waiting = [dial() for _ in range(200)]  # the loop does not run meanwhile
        listener.vanish()
        await doors.finish(doors.numbers)
        assert doors.numbers == []
        await asyncio.sleep(0.05)
        said = []
        for each in waiting:
            each.settimeout(20)
            said.append(await asyncio.to_thread(each.recv, 10))
            each.close()
        return said

    assert asyncio.run(serve()) == [b"hello"] * 200
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        dial()


def test_a_door_is_released_and_others_accept(listen: Open) -> None:
    listener = listen()
    ((number, held),) = listener.sockets.items()

    async def serve() -> None:
        doors = Doors(Greeter)
        await doors.open(number, os.dup(held.fileno()))
        await doors.open(number, os.dup(held.fileno()))  # once more is one
        doors.release([number, 999])
        await asyncio.sleep(0.01)
        doors.refusing = True
        await doors.open(number, os.dup(held.fileno()))
        assert doors.numbers == []

    asyncio.run(serve())
    with socket.create_connection(("127.0.0.1", listener.port)):
        held.setblocking(True)
        held.settimeout(20)
        held.accept()[0].close()
