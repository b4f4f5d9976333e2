"""A client's address as the key of a limit.

IPv4 counts whole. IPv6 counts by its /64: that is what one customer is given, so counting whole addresses would
let one machine be 2^64 clients. An IPv4 address written as IPv6 (::ffff:…) is the IPv4 address.
What is no address (a unix socket's peer has none) counts under one name, all together.
"""

from __future__ import annotations

import ipaddress

NO_ADDRESS = b"none"


def address_key(text: str) -> bytes:
    """The same for all addresses that count together; with or without a zone (``fe80::1%eth0``)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return address.packed[:8]
        address = address.ipv4_mapped
    return address.packed
