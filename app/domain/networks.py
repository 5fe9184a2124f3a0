"""Addresses: from where a key may be used, and who speaks for whom behind a proxy."""

import functools
import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_CHAIN = 32
"""Addresses of a forwarding chain that are looked at, from its end: who sends more is not followed further."""


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Parsed networks; a bare address is a network of one. ValueError says which one is none."""
    return tuple(ipaddress.ip_network(one.strip()) for one in given)


@functools.lru_cache(maxsize=4096)
def address(text: str) -> Address | None:
    """An address as a socket or a header names it, None for anything else. IPv4 within IPv6 is IPv4."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return parsed if mapped is None else mapped


def within(one: Address | None, allowed: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks; an unknown one lies nowhere."""
    return one is not None and any(one.version == each.version and one in each for each in allowed)


def client_address(
    peer: str | None, forwarded_for: Sequence[str], proxies: Sequence[Network]
) -> Address | None:
    """Who sent a request: the peer, or the last address of X-Forwarded-For that no trusted proxy of ours has.

    What stands before that one was written by whoever sent the request and proves nothing; the header of a peer that is
    no trusted proxy is not read at all. None when the chain cannot be followed.
    """
    found = None if peer is None else address(peer)
    if not within(found, proxies):
        return found
    chain = [part for line in forwarded_for for part in line.split(",") if part.strip()]
    for part in reversed(chain[-LONGEST_CHAIN:]):
        found = address(part)
        if not within(found, proxies):
            return found
    return found if len(chain) <= LONGEST_CHAIN else None
