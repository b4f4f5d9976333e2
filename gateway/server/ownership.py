"""Who accepts on which listening socket.

A bound socket gets its share of new connections whether or not anyone accepts on it, and closing it resets those
that wait: so every socket has an owner at all times, as long as there is anybody. Pure decisions; the supervisor
sends the differences. The new owner is told before the old one: for a moment both accept, never nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence


def shared_out(sockets: Sequence[int], slots: Collection[int], owner: Mapping[int, int]) -> dict[int, int]:
    """The owner of each of one listener's sockets, so that no two of `slots` differ by more than one.

    As few change hands as possible: `owner` says who has them now.
    """
    if not slots:
        return {}
    shares: dict[int, list[int]] = {slot: [] for slot in sorted(slots)}
    orphans: list[int] = []
    for each in sockets:
        shares.get(owner.get(each, 0), orphans).append(each)
    for each in orphans:
        _fewest(shares).append(each)
    while len(most := max(shares.values(), key=len)) > len(fewest := _fewest(shares)) + 1:
        fewest.append(most.pop())
    return {each: slot for slot, share in shares.items() for each in share}


def _fewest(shares: Mapping[int, list[int]]) -> list[int]:
    return min(shares.values(), key=len)


class Change:
    """What one worker is to be told."""

    def __init__(self, slot: int, sockets: Collection[int]) -> None:
        self.slot = slot
        self.sockets = tuple(sorted(sockets))


def gained(old: Mapping[int, Collection[int]], new: Mapping[int, Collection[int]]) -> Iterator[Change]:
    """By slot: which sockets it has in `new` and not in `old`. The other way round: what it loses."""
    for slot, sockets in new.items():
        more = set(sockets) - set(old.get(slot, ()))
        if more:
            yield Change(slot, more)
