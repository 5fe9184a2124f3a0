from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.customers import MOST_TAGS, Profile
from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.merging import SharedThread, gaps_filled, merged_state, with_gaps, without_gaps

DAY = 86400


def fact(number: int, kind: str, day: int, thread: int | None) -> Fact:
    said: dict[str, Any] = {}
    if kind in ("purchase", "refund", "order_cancelled"):
        said = {
            "amount": 0 if kind == "order_cancelled" else 1000,
            "order_id": None if thread is None else f"o{thread}",
        }
    elif thread is not None:
        said = {"properties": {"complaint_id": f"c{thread}"}}
    return fact_of(kind, day * DAY, f"shop/{number}", **said)


KINDS = st.sampled_from(
    ("purchase", "refund", "order_cancelled", "complaint_opened", "complaint_resolved", "visit")
)
LOGS = st.lists(
    st.tuples(KINDS, st.integers(1, 900), st.sampled_from((None, 1, 2)), st.booleans()), max_size=25
)


@given(LOGS)
def test_the_merged_state_is_that_of_both_logs(told: list[tuple[str, int, int | None, bool]]) -> None:
    facts = [
        (fact(number, kind, day, thread), of_one) for number, (kind, day, thread, of_one) in enumerate(told)
    ]
    one = [each for each, of_one in facts if of_one]
    other = [each for each, of_one in facts if not of_one]
    threads = {each.thread for each in one} & {each.thread for each in other} - {None}
    shared = [
        SharedThread(
            [each for each in one if each.thread == thread], [each for each in other if each.thread == thread]
        )
        for thread in threads
    ]
    assert merged_state(fold(one), fold(other), shared) == fold([*one, *other])


WORDS = st.one_of(st.none(), st.sampled_from(("a", "b")))
NAMES = st.sampled_from(("x", "y", "z"))
PROFILES = st.builds(
    Profile,
    name=WORDS,
    language=WORDS,
    timezone=WORDS,
    preferred_channel=WORDS,
    owner=WORDS,
    tags=st.lists(NAMES, unique=True).map(tuple),
    traits=st.dictionaries(NAMES, st.integers(0, 3)),
)


@given(PROFILES, PROFILES)
def test_what_filled_the_gaps_is_taken_out_again(profile: Profile, other: Profile) -> None:
    gaps = gaps_filled(profile, other)
    assert without_gaps(with_gaps(profile, gaps), gaps) == profile


@given(PROFILES, PROFILES)
def test_what_the_survivor_says_stands(profile: Profile, other: Profile) -> None:
    filled = with_gaps(profile, gaps_filled(profile, other))
    assert filled.name == (other.name if profile.name is None else profile.name)
    assert set(filled.tags) == {*profile.tags, *other.tags}
    assert filled.traits == {**(other.traits or {}), **(profile.traits or {})}


def test_what_was_said_anew_since_stays() -> None:
    gaps = {"name": "Ada", "tags": ["vip"], "traits": {"size": 41}}
    since = Profile(name="Ada L.", tags=("new",), traits={"size": 42})
    assert without_gaps(since, gaps) == since


def test_tags_and_traits_come_along_as_far_as_there_is_room() -> None:
    full = Profile(tags=tuple(f"t{n}" for n in range(MOST_TAGS)), traits={"long": "x" * 16_000})
    assert gaps_filled(full, Profile(tags=("one more",), traits={"note": "y" * 1000})) == {}
