"""The reference a customer can read out on the phone: C-7K3M9-QXD2F.

Nine random characters of Crockford's base 32 (45 bits, no I, L, O, U) and a check character by the Luhn algorithm
modulo 32, which catches every single wrong character and nearly every swap of neighbours.
"""

from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_BYTES: Final = 6
_RANDOM: Final = 9
_HALF: Final = 5
_MEANT: Final = str.maketrans("OIL", "011", "- ")
_BASE: Final = len(ALPHABET)


def reference_of(random_bytes: bytes) -> str:
    """The reference of a new complaint from RANDOM_BYTES random bytes; the first three bits are not used."""
    number = int.from_bytes(random_bytes)
    body = "".join(ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(_RANDOM)))
    whole = body + _check(body)
    return f"C-{whole[:_HALF]}-{whole[_HALF:]}"


def reference_in(text: str) -> str | None:
    """The reference somebody typed, however they spaced it, with o for 0 and l or i for 1; None when it is not one."""
    typed = text.strip().upper().translate(_MEANT)
    body = typed[1:]
    if not typed.startswith("C") or len(body) != _RANDOM + 1 or not set(body) <= set(ALPHABET):
        return None
    if _check(body[:-1]) != body[-1]:
        return None
    return f"C-{body[:_HALF]}-{body[_HALF:]}"


def _check(body: str) -> str:
    """Every second character from the right counts twice, its two digits in base 32 added up."""
    total = 0
    for place, character in enumerate(reversed(body)):
        value = ALPHABET.index(character) * (2 - place % 2)
        total += value // _BASE + value % _BASE
    return ALPHABET[-total % _BASE]
