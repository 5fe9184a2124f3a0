import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import keys
from app.domain.problems import Conflict, Invalid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "rap_sk_" + "0" * 32 + "34D90i"


def granted(**given: object) -> keys.Grant:
    whole = {
        "preset": "storefront",
        "source": "shop",
        "scopes": None,
        "origins": (),
        "expires_at": None,
        "now": NOW,
    }
    return keys.grant(**whole | given)  # type: ignore[arg-type]  # each test gives what its rule is about


@pytest.mark.parametrize("publishable", [True, False])
def test_a_new_key_is_well_formed_and_tells_what_it_is(publishable: bool) -> None:
    key = keys.new_key(publishable=publishable)
    assert re.fullmatch(r"rap_[sp]k_[0-9A-Za-z]{38}", key)
    assert key.startswith("rap_pk_" if publishable else "rap_sk_")
    assert keys.is_well_formed(key)


def test_no_two_keys_are_alike() -> None:
    assert len({keys.new_key(publishable=False) for _ in range(1000)}) == 1000


def test_the_checksum_is_the_crc_32_in_base62_with_leading_zeros() -> None:
    # CRC-32 of rap_sk_000... is 2,810,636,744 = 3·62⁵ + 4·62⁴ + 13·62³ + 9·62² + 0·62 + 44.
    assert keys.is_well_formed(KEY)


@given(st.integers(0, len(KEY) - 1), st.characters())
def test_one_wrong_character_makes_a_key_malformed(place: int, wrong: str) -> None:
    changed = KEY[:place] + wrong + KEY[place + 1 :]
    assert keys.is_well_formed(changed) == (changed == KEY)


@given(st.text())
def test_any_text_may_be_asked_about(text: str) -> None:
    assert not keys.is_well_formed(text)


def test_presets_hold_known_scopes_and_only_admin_holds_admin() -> None:
    assert all(scopes <= set(keys.SCOPES) for scopes in keys.PRESETS.values())
    assert [preset for preset, scopes in keys.PRESETS.items() if "admin" in scopes] == ["admin"]
    assert keys.PRESETS["publishable"] == {"events:write"}


def test_a_grant_has_all_scopes_of_its_preset_unless_fewer_are_named() -> None:
    assert granted().scopes == keys.PRESETS["storefront"]
    assert granted(scopes=["events:write"]).scopes == {"events:write"}


@pytest.mark.parametrize(
    "given, code, pointer",
    [
        ({"preset": "owner"}, "unknown_preset", "#/preset"),
        ({"source": ""}, "invalid_source", "#/source"),
        ({"source": "shop eu"}, "invalid_source", "#/source"),
        ({"source": "x" * 65}, "invalid_source", "#/source"),
        ({"scopes": ["admin"]}, "scope_not_in_preset", "#/scopes"),
        ({"scopes": []}, "scope_not_in_preset", "#/scopes"),
        ({"origins": ["https://shop.example"]}, "origins_not_allowed", "#/origins"),
        ({"preset": "publishable", "origins": ["https://a.example", "*"]}, "invalid_origin", "#/origins/1"),
        ({"preset": "publishable", "origins": ["https://shop.example/"]}, "invalid_origin", "#/origins/0"),
        ({"preset": "publishable", "origins": ["https://Shop.example"]}, "invalid_origin", "#/origins/0"),
        ({"expires_at": NOW}, "in_the_past", "#/expires_at"),
    ],
)
def test_a_grant_refuses_what_a_key_may_not_be(given: dict[str, object], code: str, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        granted(**given)
    assert (refused.value.code, refused.value.errors[0].pointer) == (code, pointer)


def test_a_publishable_key_lists_each_origin_once() -> None:
    origins = ["https://shop.example", "http://localhost:3000", "https://[::1]:8443", "https://shop.example"]
    grant = granted(preset="publishable", origins=origins)
    assert grant.origins == tuple(origins[:3])
    assert grant.publishable


@pytest.mark.parametrize(
    "expires_at, revoked_at, live",
    [(None, None, True), (NOW + HOUR, None, True), (NOW, None, False), (None, NOW - HOUR, False)],
)
def test_a_key_is_live_until_it_expires_or_is_revoked(
    expires_at: datetime | None, revoked_at: datetime | None, live: bool
) -> None:
    assert keys.is_live(expires_at, revoked_at, NOW) is live


def test_a_successor_lives_as_long_as_the_rotated_key_was_meant_to() -> None:
    assert keys.successor_expiry(NOW - HOUR, None, None, NOW) is None
    assert keys.successor_expiry(NOW - HOUR, NOW + HOUR, None, NOW) == NOW + 2 * HOUR


def test_a_dead_key_has_no_successor() -> None:
    with pytest.raises(Conflict, match="key_not_live"):
        keys.successor_expiry(NOW - HOUR, None, NOW, NOW)


def test_a_rotated_key_ends_after_the_overlap_or_at_its_own_end() -> None:
    assert keys.overlap_end(None, HOUR, NOW) == NOW + HOUR
    assert keys.overlap_end(NOW + HOUR / 2, HOUR, NOW) == NOW + HOUR / 2
