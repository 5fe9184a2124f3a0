"""Who sent a request, behind which proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.networks import LONGEST_CHAIN, address, client_address, networks, within

PROXIES = networks(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    "peer, chain, client",
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("2001:db8:1::5", ['"[2001:db8:9::1]:4711"'], "2001:db8:9::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(
    peer: str, chain: list[str], client: str
) -> None:
    assert str(client_address(peer, chain, PROXIES)) == client


@pytest.mark.parametrize(
    "chain", [["unknown"], ["198.51.100.1, _hidden"], ["10.0.0.2," * (LONGEST_CHAIN + 1)]]
)
def test_a_chain_that_cannot_be_followed_leads_to_nobody(chain: list[str]) -> None:
    assert client_address("10.0.0.1", chain, PROXIES) is None


def test_an_unknown_address_lies_in_no_network() -> None:
    assert client_address(None, ["198.51.100.1"], PROXIES) is None
    assert not within(None, networks(["0.0.0.0/0", "::/0"]))


@given(st.text(max_size=60))
def test_whatever_a_header_says_is_an_address_or_nobody(text: str) -> None:
    found = address(text)
    assert found is None or found.version in (4, 6)


@given(st.lists(st.ip_addresses().map(str), max_size=5), st.ip_addresses(v=4).map(str))
def test_what_a_stranger_writes_before_our_proxy_changes_nothing(written: list[str], real: str) -> None:
    alone = client_address("10.0.0.1", [real], PROXIES)
    if not within(address(real), PROXIES):
        assert client_address("10.0.0.1", [*written, real], PROXIES) == alone
