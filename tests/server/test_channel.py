"""The control channel: messages arrive as they were sent, with their descriptors, and nobody waits for anybody."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.channel import (
    KINDS,
    MOST_DESCRIPTORS,
    Accept,
    Adopt,
    Channel,
    Drain,
    Drained,
    Failed,
    Message,
    Ready,
    Release,
)

MESSAGES: list[Message] = [
    Ready(3),
    Adopt(2, bytes(range(256)) * 10),
    Failed(4, "a text with äöü\nand lines"),
    Release((1, 2, 3)),
    Drain(),
    Drained(7, 2),
]


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


def everything(sender: Channel, receiver: Channel) -> list[tuple[Message, list[int]]]:
    """Both ends work as their loops would, until nothing is left."""
    came = []
    while True:
        sender.flush()
        came += receiver.receive()
        if not sender.pending:
            return came + receiver.receive()


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_messages_arrive_in_their_order(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    for message in MESSAGES:
        one.send(message)
    assert [message for message, _ in everything(one, other)] == MESSAGES
    other.send(Ready(1))
    assert one.receive() == [(Ready(1), [])]


def test_every_kind_is_known() -> None:
    assert set(KINDS.values()) == set(Message.__args__)


def test_more_than_the_kernel_takes_waits_and_nobody_blocks(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    large = Adopt(1, os.urandom(5 << 20))
    for _ in range(3):
        one.send(large)
    one.send(Drain())
    assert one.pending
    assert [message for message, _ in everything(one, other)] == [large, large, large, Drain()]
    assert not one.pending


def test_descriptors_belong_to_their_message(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    one, other = ends
    names = [tmp_path / name for name in "abcd"]
    for name in names:
        name.write_text(name.name)
    before = opened()
    files = [os.open(name, os.O_RDONLY) for name in names]
    one.send(Adopt(1, bytes(3 << 20)))
    one.send(Accept((1, 2)), files[:2])
    one.send(Drain())
    one.send(Accept((3, 4)), files[2:])
    for file in files:
        os.close(file)  # long before it is sent
    came = {message: descriptors for message, descriptors in everything(one, other) if descriptors}
    read = {message: [os.read(descriptor, 9) for descriptor in came[message]] for message in came}
    assert read == {Accept((1, 2)): [b"a", b"b"], Accept((3, 4)): [b"c", b"d"]}
    for descriptors in came.values():
        for descriptor in descriptors:
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)
    assert opened() == before


def test_as_many_descriptors_as_a_message_may_have(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    numbers = tuple(range(MOST_DESCRIPTORS))
    one.send(Accept(numbers), [0] * len(numbers))
    ((message, descriptors),) = everything(one, other)
    assert message == Accept(numbers)
    assert len(descriptors) == MOST_DESCRIPTORS
    for descriptor in descriptors:
        os.close(descriptor)
    with pytest.raises(ValueError, match="201 descriptors"):
        one.send(Accept((*numbers, 1)), [0] * (MOST_DESCRIPTORS + 1))


def test_the_end_is_seen_after_the_last_words() -> None:
    one, other = Channel.pair()
    one.send(Failed(1, "gone"))
    one.close()
    assert other.receive() == [(Failed(1, "gone"), [])]
    assert other.ended
    other.send(Drain())  # into nothing
    assert not other.pending
    other.close()


def test_whoever_leaves_with_messages_unsent_leaks_no_descriptor(tmp_path: Path) -> None:
    before = opened()
    one, other = Channel.pair()
    one.send(Adopt(1, bytes(3 << 20)))
    one.send(Accept((1,)), [0])
    assert one.pending
    one.close()
    assert not [message for message, _ in other.receive()]
    other.close()
    assert opened() == before


@contextmanager
def at_most(descriptors: int) -> Iterator[None]:
    """No descriptor of this number or above, for so long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def free() -> int:
    """The lowest number that is free."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    return lowest


@pytest.mark.parametrize("room", [0, 1])
def test_a_receiver_without_room_gets_the_message_with_fewer(ends: tuple[Channel, Channel], room: int) -> None:
    """And those of the next message are not taken for its own."""
    one, other = ends
    before = opened()
    one.send(Accept((1, 2)), [0, 0])
    with at_most(free() + room):
        ((message, descriptors),) = other.receive()
    assert (message, len(descriptors)) == (Accept((1, 2)), room)
    one.send(Accept((3,)), [0])
    ((message, more),) = other.receive()
    assert (message, len(more)) == (Accept((3,)), 1)
    for descriptor in (*descriptors, *more):
        os.close(descriptor)
    assert opened() == before


def test_a_sender_without_room_sends_what_need_not_wait(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    before = opened()
    with at_most(free()):
        one.send(Accept((1,)), [0])
    ((_, descriptors),) = other.receive()
    os.close(descriptors[0])
    one.send(Adopt(1, bytes(3 << 20)))
    with at_most(free() + 1), pytest.raises(OSError, match="Too many open files"):
        one.send(Accept((1, 2)), [0, 0])
    assert opened() == before
    assert [type(message) for message, _ in everything(one, other)] == [Adopt]


@given(st.lists(st.integers(1, 50), min_size=1), st.lists(st.sampled_from(MESSAGES), max_size=6))
def test_however_the_bytes_are_cut(cuts: list[int], messages: list[Message]) -> None:
    recorder, sink = socket.socketpair()
    sender = Channel(recorder)
    for message in messages:
        sender.send(message)
    data = sink.recv(1 << 20) if messages else b""
    sender.close()
    sink.close()
    feeder, end = socket.socketpair()
    receiver = Channel(end)
    came: list[Message] = []
    for cut in cuts:
        feeder.sendall(data[:cut])
        data = data[cut:]
        came += [message for message, _ in receiver.receive()]
    feeder.sendall(data)
    came += [message for message, _ in receiver.receive()]
    feeder.close()
    receiver.close()
    assert came == messages
