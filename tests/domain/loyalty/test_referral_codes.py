"""Keys of networks and mailboxes are stored: another form of one would be another network, another mailbox."""

import hmac

from app.domain.loyalty.referral_codes import mailbox_key, network_key

PEPPER = b"p" * 32


def test_a_network_has_this_key_for_ever() -> None:
    for ip, seen in (
        ("203.0.113.7", b"203.0.113.7"),
        ("2001:db8::1", b"2001:db8::"),
        ("::ffff:203.0.113.7", b"203.0.113.7"),
    ):
        assert network_key(ip, PEPPER) == hmac.digest(PEPPER, b"network:" + seen, "sha256")


def test_a_mailbox_has_this_key_for_ever() -> None:
    key = hmac.digest(PEPPER, b"mailbox:ada@gmail.com", "sha256").hex()
    assert mailbox_key("A.da+shop@googlemail.com", PEPPER) == f"alias:{key}"
