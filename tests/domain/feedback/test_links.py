"""Signed links: ours, unchanged, for one purpose, in time."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback.links import LONGEST_TOKEN, Link, Purpose, opened, signed, unsubscribe_headers
from app.domain.problems import Gone, NotFound

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW = b"o" * 32, b"n" * 32
SECRETS = {"k1": OLD, "k2": NEW}
LINK = Link("answer", UUID(int=1), UUID(int=2), NOW + 30 * DAY)
TOKEN = signed(LINK, key_id="k1", secret=OLD)

links = st.builds(
    Link,
    st.sampled_from(["answer", "unsubscribe", "complaint"]),
    st.uuids(),
    st.uuids(),
    st.none() | st.integers(1, 3_650).map(lambda days: NOW + days * DAY),
)


@given(links, st.sampled_from(sorted(SECRETS)))
def test_what_was_signed_is_read_back_under_any_of_our_keys(link: Link, key_id: str) -> None:
    token = signed(link, key_id=key_id, secret=SECRETS[key_id])
    assert len(token) <= LONGEST_TOKEN
    assert token.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert opened(token, purpose=link.purpose, secrets=SECRETS, now=NOW) == link


def test_the_signature_is_an_hmac_anybody_can_check() -> None:
    head, _, signature = TOKEN.rpartition(".")
    expected = hmac.new(OLD, head.encode(), hashlib.sha256).digest()[:16]
    assert base64.urlsafe_b64encode(expected).decode().rstrip("=") == signature


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_one_changed_character_leads_nowhere(place: int, wrong: str) -> None:
    changed = TOKEN[:place] + wrong + TOKEN[place + 1 :]
    if changed == TOKEN:
        assert opened(changed, purpose="answer", secrets=SECRETS, now=NOW) == LINK
        return
    with pytest.raises(NotFound) as refusal:
        opened(changed, purpose="answer", secrets=SECRETS, now=NOW)
    assert refusal.value.code == "link_not_found"


@given(st.text())
def test_any_text_may_be_taken_for_a_token(text: str) -> None:
    with pytest.raises(NotFound):
        opened(text, purpose="answer", secrets=SECRETS, now=NOW)


@pytest.mark.parametrize("purpose", ["unsubscribe", "complaint"])
def test_a_link_for_one_thing_does_not_do_another(purpose: Purpose) -> None:
    with pytest.raises(NotFound):
        opened(TOKEN, purpose=purpose, secrets=SECRETS, now=NOW)


def test_a_key_cannot_be_exchanged_and_a_retired_one_no_longer_holds() -> None:
    with pytest.raises(NotFound):
        opened(TOKEN.replace("k1", "k2", 1), purpose="answer", secrets={"k1": OLD, "k2": OLD}, now=NOW)
    with pytest.raises(NotFound):
        opened(TOKEN, purpose="answer", secrets={"k2": NEW}, now=NOW)


def test_a_link_expires_and_grace_is_for_changes() -> None:
    end = NOW + 30 * DAY
    assert opened(TOKEN, purpose="answer", secrets=SECRETS, now=end - DAY) == LINK
    with pytest.raises(Gone) as refusal:
        opened(TOKEN, purpose="answer", secrets=SECRETS, now=end)
    assert refusal.value.code == "link_expired"
    assert opened(TOKEN, purpose="answer", secrets=SECRETS, now=end + DAY / 2, grace=DAY) == LINK


def test_an_unsubscribe_link_holds_for_ever() -> None:
    link = Link("unsubscribe", UUID(int=1), UUID(int=2), None)
    token = signed(link, key_id="k2", secret=NEW)
    assert opened(token, purpose="unsubscribe", secrets=SECRETS, now=NOW + 36_500 * DAY) == link


@pytest.mark.parametrize(
    "key_id, secret, expires_at",
    [
        ("k1", b"short", None),
        ("K.1", OLD, None),
        ("", OLD, None),
        ("k1", OLD, datetime(2200, 1, 1, tzinfo=UTC)),
        ("k1", OLD, datetime(1969, 1, 1, tzinfo=UTC)),
    ],
)
def test_weak_secrets_and_impossible_times_are_refused(
    key_id: str, secret: bytes, expires_at: datetime | None
) -> None:
    with pytest.raises(ValueError, match=r"secret|1970"):
        signed(LINK._replace(expires_at=expires_at), key_id=key_id, secret=secret)


def test_the_headers_of_one_click_unsubscription() -> None:
    assert unsubscribe_headers("https://shop.example/s/x/unsubscribe") == {
        "List-Unsubscribe": "<https://shop.example/s/x/unsubscribe>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
