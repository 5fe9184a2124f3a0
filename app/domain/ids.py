"""Identity on paper: time-ordered UUIDs, opaque ids that carry their customer, and the lane of a customer."""

import os
import re
import struct
from functools import lru_cache
from uuid import UUID

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Two digits at a time: half the divisions of numbers that are longer than a word.
_PAIR = [high + low for high in _BASE62 for low in _BASE62]
_PAIRS = len(_PAIR)
_DIGIT: dict[str, int] = {character: value for value, character in enumerate(_BASE62)}
_MASK = 0xFFFFFFFF
_OPAQUE_WIDTH = 43  # ceil(256 / log2(62)): two UUIDs
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OPAQUE = re.compile(rf"\b([a-z]+)_([0-9A-Za-z]{{{_OPAQUE_WIDTH}}})\b", re.ASCII)


def uuid7(unix_ms: int, random_bytes: bytes | None = None) -> UUID:
    """A UUID of RFC 9562 version 7: 48 bits of milliseconds, then 74 random bits (10 bytes, six bits unused)."""
    tail = int.from_bytes(random_bytes if random_bytes is not None else os.urandom(10))
    rand_a = (tail >> 62) & 0xFFF
    rand_b = tail & ((1 << 62) - 1)
    return UUID(int=(unix_ms << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b)


def base62(number: int, width: int) -> str:
    """`number` in base 62 (0-9A-Za-z), left-padded with 0 to `width` characters."""
    digits = []
    while number:
        number, rest = divmod(number, _PAIRS)
        digits.append(_PAIR[rest])
    # The highest pair may begin with a 0 that the number does not have.
    return "".join(reversed(digits)).lstrip("0").rjust(width, "0")


def opaque_id(prefix: str, customer_id: UUID, own_id: UUID) -> str:
    """The public id of a customer's own resource: it carries its customer, so a read is one key look-up."""
    return f"{prefix}_{base62((customer_id.int << 128) | own_id.int, _OPAQUE_WIDTH)}"


def parse_opaque_id(prefix: str, text: str) -> tuple[UUID, UUID] | None:
    """(customer_id, own id) of an opaque id with this prefix, or None when it is not one."""
    head, _, digits = text.partition("_")
    if head != prefix or len(digits) != _OPAQUE_WIDTH:
        return None
    number = 0
    for character in digits:
        value = _DIGIT.get(character)
        if value is None:
            return None
        number = number * 62 + value
    if number >> 256:
        return None
    return UUID(int=number >> 128), UUID(int=number & ((1 << 128) - 1))


def named_in(value: object) -> set[UUID]:
    """The UUIDs that are strings of this JSON value, and the customers whom its opaque ids carry."""
    if isinstance(value, dict):
        return set[UUID]().union(*map(named_in, value.values()))
    if isinstance(value, list):
        return set[UUID]().union(*map(named_in, value))
    if not isinstance(value, str):
        return set()
    if _UUID.fullmatch(value):
        return {UUID(value)}
    # A link to a resource holds its id too.
    carried = [parse_opaque_id(prefix, f"{prefix}_{digits}") for prefix, digits in _OPAQUE.findall(value)]
    return {ids[0] for ids in carried if ids is not None}


def _rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _MASK


def uuid_hash(value: UUID) -> int:
    """PostgreSQL's `uuid_hash(uuid)` as an unsigned 32-bit number.

    Source: hash_any() in PostgreSQL's common/hashfn.c, which is Bob Jenkins' lookup3 (public domain) over 16 bytes:
    three words are mixed, the last word is added, then the final scramble. Seed 0x9e3779b9 + 16 + 3923095.
    """
    words: tuple[int, int, int, int] = struct.unpack("<4I", value.bytes)
    first, second, third, fourth = words
    a = b = c = (0x9E3779B9 + 16 + 3923095) & _MASK
    a, b, c = (a + first) & _MASK, (b + second) & _MASK, (c + third) & _MASK
    a = ((a - c) & _MASK) ^ _rotate(c, 4)
    c = (c + b) & _MASK
    b = ((b - a) & _MASK) ^ _rotate(a, 6)
    a = (a + c) & _MASK
    c = ((c - b) & _MASK) ^ _rotate(b, 8)
    b = (b + a) & _MASK
    a = ((a - c) & _MASK) ^ _rotate(c, 16)
    c = (c + b) & _MASK
    b = ((b - a) & _MASK) ^ _rotate(a, 19)
    a = (a + c) & _MASK
    c = ((c - b) & _MASK) ^ _rotate(b, 4)
    b = (b + a) & _MASK
    a = (a + fourth) & _MASK
    c = ((c ^ b) - _rotate(b, 14)) & _MASK
    a = ((a ^ c) - _rotate(c, 11)) & _MASK
    b = ((b ^ a) - _rotate(a, 25)) & _MASK
    c = ((c ^ b) - _rotate(b, 16)) & _MASK
    a = ((a ^ c) - _rotate(c, 4)) & _MASK
    b = ((b ^ a) - _rotate(a, 14)) & _MASK
    return ((c ^ b) - _rotate(b, 24)) & _MASK


@lru_cache(maxsize=16_384)
def lane_of(customer_id: UUID, lanes: int) -> int:
    """The lane, 0 <= lane < lanes (a power of two), of a customer; with 32 lanes it is the Citus shard's number."""
    return (((uuid_hash(customer_id) - 0x80000000) & _MASK) * lanes) >> 32
