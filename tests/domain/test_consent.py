from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.domain.consent import ANY, Statement, lapsed, says_nothing_new, standings, withdrawn_since

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(day: int) -> datetime:
    return NOW + timedelta(days=day)


def said(
    state: str, day: int, purpose: str = "surveys", channel: str = "email", ends: int | None = None
) -> Statement:
    return Statement(
        purpose, channel, state, None, "form", None, at(day), None if ends is None else at(ends), "shop"
    )


def test_the_last_word_about_a_purpose_and_channel_counts() -> None:
    no_then_yes = [said("withdrawn", 1, ANY, ANY), said("granted", 2)]
    assert withdrawn_since(no_then_yes, [], "surveys", "email") is None
    assert withdrawn_since(no_then_yes, [], "surveys", "sms") == at(1)
    assert withdrawn_since(no_then_yes, [], "marketing", "email") == at(1)
    assert withdrawn_since(
        [said("granted", 1), said("withdrawn", 2, ANY, ANY)], [], "surveys", "email"
    ) == at(2)
    assert withdrawn_since([said("granted", 2)], [at(1)], "surveys", "email") is None
    assert withdrawn_since([said("granted", 1)], [at(2), at(3)], "surveys", "email") == at(2)


def test_of_a_yes_and_a_no_in_one_moment_the_no_counts() -> None:
    assert withdrawn_since([said("granted", 1)], [at(1)], "surveys", "email") == at(1)


def test_a_yes_ends_by_itself() -> None:
    assert lapsed([said("granted", 0, ends=3)], "surveys", "email", at(3))
    assert not lapsed([said("granted", 0, ends=3)], "surveys", "email", at(2))
    assert not lapsed([said("granted", 0, ends=3), said("granted", 1, ANY, ANY)], "surveys", "email", at(9))
    assert not lapsed([said("granted", 0, "marketing", ends=3)], "surveys", "email", at(9))


def test_what_is_allowed_follows_from_all_that_was_said() -> None:
    held = [said("granted", 1), said("granted", 1, "marketing", ends=2), said("withdrawn", 1, channel="sms")]
    assert [one.allowed for one in standings(held, None, at(5))] == [True, False, False]
    assert [one.allowed for one in standings(held, at(4), at(5))] == [False, False, False]


def test_the_same_again_says_nothing_unless_something_else_was_said_since() -> None:
    held = [said("granted", 1), said("withdrawn", 0, "marketing")]
    again = said("granted", 5)
    assert says_nothing_new(again, held, None)
    assert says_nothing_new(again._replace(written_by="crm"), held, at(0))
    assert not says_nothing_new(again, held, at(2))
    assert not says_nothing_new(again, [*held, said("withdrawn", 2, ANY, "email")], None)
    assert not says_nothing_new(again._replace(source="call"), held, None)
    assert not says_nothing_new(said("granted", 5, channel="sms"), held, None)


statements = st.lists(
    st.builds(
        said,
        st.sampled_from(["granted", "withdrawn"]),
        st.integers(0, 6),
        st.sampled_from(["surveys", "marketing", ANY]),
        st.sampled_from(["email", "sms", ANY]),
    ),
    max_size=8,
)
refusals = st.lists(st.integers(0, 6).map(at), max_size=2)


@given(statements, refusals)
def test_a_later_yes_to_all_clears_every_refusal_and_a_later_no_refuses_all(
    held: list[Statement], unsubscribed: list[datetime]
) -> None:
    for purpose, channel in (("surveys", "email"), ("marketing", "sms")):
        assert withdrawn_since([*held, said("granted", 7, ANY, ANY)], unsubscribed, purpose, channel) is None
        assert withdrawn_since(held, [*unsubscribed, at(7)], purpose, channel) is not None
