"""The code a customer gives to friends, and what of a friend's traces may be kept to recognise them."""

import hmac
import ipaddress
from hashlib import sha256
from typing import Final

from app.domain.feedback.references import ALPHABET
from app.domain.loyalty.referrals import alias_key
from app.domain.problems import NotFound, refused

RANDOM_BYTES: Final = 5
"""40 bits: eight characters of the alphabet that complaints are quoted in."""
_LENGTH: Final = 8
_MEANT: Final = str.maketrans("OIL", "011", "- ")
# A household has one of these for all its machines.
_IPV6_NETWORK: Final = 64


def code_of(random_bytes: bytes) -> str:
    """A new code from RANDOM_BYTES random bytes."""
    number = int.from_bytes(random_bytes)
    return "".join(ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(_LENGTH)))


def code_in(text: str) -> str:
    """The code somebody typed, however they spaced it. Raises NotFound `referral_code_not_found`."""
    typed = text.strip().upper().translate(_MEANT)
    if len(typed) != _LENGTH or not set(typed) <= set(ALPHABET):
        raise code_not_found()
    return typed


def code_not_found() -> NotFound:
    """No such code, or nobody whose it is any more."""
    return NotFound("referral_code_not_found", "There is no such referral code.")


def network_key(ip: str, pepper: bytes, pointer: str = "#/ip") -> bytes:
    """What two visits from one network share: 32 bytes that do not tell the address. Raises Invalid `invalid_ip`."""
    try:
        address = ipaddress.ip_address(ip.strip())
    except ValueError:
        raise refused(pointer, "invalid_ip", "must be an IP address, for example 203.0.113.7") from None
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        network = ipaddress.ip_network((address, _IPV6_NETWORK), strict=False)
        seen = str(network.network_address if mapped is None else mapped)
    else:
        seen = str(address)
    return hmac.digest(pepper, b"network:" + seen.encode(), sha256)


def mailbox_key(email: str, pepper: bytes) -> str:
    """The key of a mailbox in `referred_customers`: all its spellings have one, and it does not tell which."""
    return "alias:" + hmac.digest(pepper, b"mailbox:" + alias_key(email).encode(), sha256).hex()
