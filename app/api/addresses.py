"""Who is on the other end: the address behind our own proxies, and whether they speak TLS."""

import functools
from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from app.domain.keys import Caller
from app.domain.networks import Address, Network, address, client_address, within
from app.domain.problems import Forbidden

ADDRESS_NOT_ALLOWED: Final = Forbidden(
    "address_not_allowed", "This key may not be used from this address. Its `networks` say from where."
)


class Proxies:
    """The proxies of ours whose X-Forwarded-For and X-Forwarded-Proto are believed; of nobody else's."""

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self.trusted = trusted
        self._is_trusted = functools.lru_cache(maxsize=1024)(self._look_up)

    def _look_up(self, peer: str) -> bool:
        return within(address(peer), self.trusted)

    def client(self, scope: Scope) -> Address | None:
        """The address that a request came from, None when nobody can tell."""
        peer = scope.get("client")
        forwarded = _values(scope["headers"], b"x-forwarded-for") if self.trusted else []
        return client_address(None if peer is None else peer[0], forwarded, self.trusted)

    def spoke_tls(self, scope: Scope) -> bool:
        """Whether the client spoke TLS: to us, or to a trusted proxy that says so."""
        if scope.get("scheme") == "https":
            return True
        peer = scope.get("client")
        if not self.trusted or peer is None or not self._is_trusted(peer[0]):
            return False
        said = _values(scope["headers"], b"x-forwarded-proto")
        return bool(said) and said[-1].rpartition(",")[2].strip().lower() == "https"


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def check_address(caller: Caller, scope: Scope, proxies: Proxies) -> None:
    """Raises Forbidden `address_not_allowed` for a key that is used from outside its networks."""
    if caller.networks and not within(proxies.client(scope), caller.networks):
        raise Forbidden(ADDRESS_NOT_ALLOWED.code, ADDRESS_NOT_ALLOWED.detail)
