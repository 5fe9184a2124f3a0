"""Answers: what may be said on which scale, and what it means."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback.answers import Counting, answer_of, check_same, counted, natural_key, recipient
from app.domain.feedback.scales import Scale, checked_rating, group_of, is_high, is_low, normalised, scale_for
from app.domain.health.facts import fact_of
from app.domain.problems import Conflict, Gone, Invalid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADA, BOB = UUID(int=1), UUID(int=2)
INVERTED = {"direction": "lower_is_better"}


@pytest.mark.parametrize("kind, low, high", [("nps", 0, 10), ("csat", 1, 5), ("ces", 1, 7), ("review", 1, 5)])
def test_each_kind_has_its_usual_scale(kind: str, low: int, high: int) -> None:
    assert scale_for(kind) == Scale(low, high, "higher_is_better")


@pytest.mark.parametrize(
    "kind, rating",
    [
        ("nps", 6.5),
        ("nps", 11),
        ("nps", -1),
        ("nps", 9.0),
        ("nps", True),
        ("nps", "9"),
        ("csat", 0),
        ("csat", 6),
        ("ces", 8),
        ("review", 0),
    ],
)
def test_a_rating_off_the_scale_or_not_whole_is_refused(kind: str, rating: object) -> None:
    with pytest.raises(Invalid) as refusal:
        answer_of(kind, rating=rating)
    assert refusal.value.code == "invalid_rating"
    assert refusal.value.errors[0].pointer == "#/rating"


@pytest.mark.parametrize(
    "kind, scale",
    [
        ("nps", {"min": 1, "max": 10}),
        ("nps", {"direction": "lower_is_better"}),
        ("review", {"max": 10}),
        ("review", {"direction": "lower_is_better"}),
        ("ces", {"max": 5}),
        ("csat", {"min": 5, "max": 1}),
        ("csat", {"min": 1, "max": 2}),
        ("csat", {"min": 0, "max": 1000}),
        ("csat", {"min": 1.0}),
        ("csat", {"step": 1}),
        ("csat", {"direction": "sideways"}),
        ("comment", {}),
    ],
)
def test_scales_that_would_mix_what_cannot_be_compared_are_refused(
    kind: str, scale: dict[str, object]
) -> None:
    with pytest.raises(Invalid, match="scale") as refusal:
        scale_for(kind, scale)
    assert refusal.value.code == "invalid_scale"


def test_both_ends_of_a_scale_are_on_it() -> None:
    assert [answer_of("nps", rating=rating).rating for rating in (0, 10)] == [0, 10]
    widest = scale_for("csat", {"min": 0, "max": 100})
    assert widest is not None
    assert widest.points == 101


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        answer_of("stars", rating=5)
    assert refusal.value.code == "unknown_kind"


@pytest.mark.parametrize(
    "kind, scale, groups",
    [
        ("nps", None, "detractor " * 7 + "passive passive promoter promoter"),
        ("csat", None, "dissatisfied dissatisfied neutral satisfied satisfied"),
        ("csat", INVERTED, "satisfied satisfied neutral dissatisfied dissatisfied"),
        ("csat", {"max": 3}, "dissatisfied satisfied satisfied"),
        ("csat", {"max": 4}, "dissatisfied dissatisfied satisfied satisfied"),
        ("csat", {"max": 6}, "dissatisfied dissatisfied dissatisfied neutral satisfied satisfied"),
        ("ces", None, "hard hard hard neutral easy easy easy"),
        ("ces", INVERTED, "easy easy easy neutral hard hard hard"),
        ("review", None, "negative negative neutral positive positive"),
    ],
)
def test_every_rating_falls_into_one_group(kind: str, scale: dict[str, object] | None, groups: str) -> None:
    on = scale_for(kind, scale)
    assert on is not None
    found = [group_of(kind, rating, on) for rating in range(on.min, on.max + 1)]
    assert found == groups.split()
    worst, best = ("detractor dissatisfied hard negative", "promoter satisfied easy positive")
    for rating, group in enumerate(found, on.min):
        assert is_low(kind, rating, on) == (group in worst.split())
        assert is_high(kind, rating, on) == (group in best.split())


@given(st.sampled_from(["nps", "csat", "ces", "review"]), st.data())
def test_an_answer_is_normalised_exactly_as_health_does(kind: str, data: st.DataObject) -> None:
    direction = data.draw(
        st.sampled_from(
            ["higher_is_better", "lower_is_better"] if kind in ("csat", "ces") else ["higher_is_better"]
        )
    )
    scale = scale_for(kind, {"direction": direction})
    assert scale is not None
    rating = data.draw(st.integers(scale.min, scale.max))
    fact = fact_of(kind, 0, "a", properties={"rating": rating, "scale": {"direction": direction}})
    assert fact.answer == round(1000 * normalised(kind, rating, scale))
    assert -1 <= normalised(kind, rating, scale) <= 1


@given(
    st.integers(0, 5), st.integers(3, 12), st.sampled_from(["higher_is_better", "lower_is_better"]), st.data()
)
def test_a_better_rating_is_never_lower(low: int, points: int, direction: str, data: st.DataObject) -> None:
    scale = scale_for("csat", {"min": low, "max": low + points - 1, "direction": direction})
    assert scale is not None
    one, other = (data.draw(st.integers(scale.min, scale.max)) for _ in range(2))
    worse, better = sorted((one, other), key=scale.goodness)
    assert normalised("csat", worse, scale) <= normalised("csat", better, scale)
    assert is_low("csat", worse, scale) >= is_low("csat", better, scale)
    assert is_high("csat", worse, scale) <= is_high("csat", better, scale)


def test_a_survey_may_set_its_own_border_of_low() -> None:
    assert answer_of("nps", rating=7, threshold=7).is_low
    assert not answer_of("nps", rating=8, threshold=7).is_low
    assert answer_of("ces", rating=5, scale=INVERTED, threshold=5).is_low
    assert not answer_of("ces", rating=4, scale=INVERTED, threshold=5).is_low
    with pytest.raises(Invalid):
        answer_of("nps", rating=7, threshold=11)


def test_a_comment_is_words_alone() -> None:
    comment = answer_of("comment", text="Lovely shop.")
    assert (comment.rating, comment.scale, comment.group, comment.normalised) == (None, None, None, None)
    assert not comment.is_low


@pytest.mark.parametrize(
    "kind, given, code",
    [
        ("comment", {"rating": 5, "text": "x"}, "invalid_rating"),
        ("comment", {"text": " \n"}, "property_required"),
        ("comment", {}, "property_required"),
        ("nps", {"text": "no number"}, "property_required"),
        ("nps", {"rating": 9, "public": True}, "not_a_review"),
        ("csat", {"rating": 5, "text": "x" * 10_001}, "text_too_long"),
    ],
)
def test_incomplete_answers_are_refused(kind: str, given: dict[str, object], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        answer_of(kind, **given)  # type: ignore[arg-type]  # each case is about one member
    assert refusal.value.code == code


def test_blank_words_are_no_words_and_a_review_may_be_public() -> None:
    review = answer_of("review", rating=4, text="  ", public=True)
    assert review.public
    assert review.text is None
    assert review.group == "positive"
    assert review.normalised == pytest.approx(0.5)
    assert checked_rating(4, Scale(1, 5)) == 4


def test_the_key_of_an_answer_is_its_invitation_then_its_own_id() -> None:
    asked = natural_key(source="shop", source_id="s1", invitation_id="inv_1", fresh_id="f")
    assert asked == ("survey", "inv_1")
    assert natural_key(source="shop", source_id="s1", invitation_id=None, fresh_id="f") == ("shop", "s1")
    fresh = natural_key(source="shop", source_id=None, invitation_id=None, fresh_id="f")
    assert fresh == ("shop", "f")
    assert fresh.touchpoint_id() == "feedback:f"
    assert fresh.touchpoint_id(revision=2) == "feedback:f:2"


def test_the_same_key_with_other_contents_is_a_conflict() -> None:
    check_same(b"a", b"a")
    with pytest.raises(Conflict) as refusal:
        check_same(b"a", b"b")
    assert refusal.value.code == "id_reused"


def test_an_answer_after_a_merge_goes_to_the_survivor_and_after_an_erasure_is_gone() -> None:
    assert recipient(ADA, merged_into=None, erased=False) == ADA
    assert recipient(ADA, merged_into=BOB, erased=False) == BOB
    with pytest.raises(Gone) as refusal:
        recipient(ADA, merged_into=BOB, erased=True)
    assert refusal.value.code == "erased"


answers = st.builds(
    Counting,
    st.sampled_from([ADA, BOB]),
    st.sampled_from(["nps", "csat", None]),
    st.uuids().map(str),
    st.integers(0, 5).map(lambda hours: NOW + timedelta(hours=hours)),
)


@given(st.lists(answers, unique_by=lambda answer: answer.id))
def test_the_latest_answer_of_each_customer_and_survey_counts_in_any_order(
    given_answers: list[Counting],
) -> None:
    found = counted(given_answers)
    assert found == counted(reversed(given_answers))
    asked = {(answer.customer_id, answer.survey) for answer in given_answers if answer.survey}
    unasked = [answer for answer in given_answers if answer.survey is None]
    assert len(found) == len(asked) + len(unasked)
    for answer in given_answers:
        later = [one for one in found if (one.customer_id, one.survey) == (answer.customer_id, answer.survey)]
        assert max((one.at, one.id) for one in later) >= (answer.at, answer.id)
