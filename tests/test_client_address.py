"""Addresses as keys: what counts as one client, and what does not."""

from __future__ import annotations

import pytest

from gateway.client_address import NO_ADDRESS, address_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:0DB8:1:2:0::9", "2001:db8:1:2::7%eth0"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "no address"),
        ("/run/gateway.sock", "192.0.2.1:80"),
    ],
)
def test_these_count_together(one: str, other: str) -> None:
    assert address_key(one) == address_key(other)


def test_these_count_apart() -> None:
    apart = ["192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "::1", "fe80::1", "2001:db8::c000:201", ""]
    assert len({address_key(text) for text in apart}) == len(apart)
    assert address_key("nonsense") == NO_ADDRESS
