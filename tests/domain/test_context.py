from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # rich brings it along
from markdown_it.token import Token

from app.domain.context import (
    SUMMARY_WORDS,
    Action,
    Answer,
    Context,
    OpenComplaint,
    RecentTouchpoint,
    Remark,
    summary,
)
from app.domain.context_markdown import markdown
from app.domain.customers import Customer, HeldIdentifier, Profile
from app.domain.health.facts import SEVERITIES
from app.domain.health.model import shipped
from app.domain.health.score import score
from app.domain.health.state import EMPTY
from app.domain.health.value import Value

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
MODEL = shipped()


def context(typed: str = "typed", **members: Any) -> Context:
    """A customer whose every text that people typed is `typed`."""
    customer = Customer(
        id=UUID(int=7),
        profile=Profile(typed, "en", None, typed, (typed, typed), typed, {}),
        identifiers=(HeldIdentifier("external_id", typed, NOW),),
        created_at=NOW,
        updated_at=NOW,
        revision=1,
        purchases=3,
        band="cooling",
        score=49.2,
        scored_at=NOW,
    )
    told = Context(
        now=NOW,
        customer=customer,
        first_purchase_at=NOW - timedelta(days=100),
        health=score(EMPTY, 0, MODEL),
        reasons=["Bought 3 times, last 40 days ago: +24.2 points", "Spent 140.00 EUR so far: +7.6 points"],
        red_flags=("complaint_open",),
        value=Value(0.64, 0.4, 1.25, 12_345, 11_000),
        currency="EUR",
        open_complaints=[OpenComplaint(typed, "high", NOW - timedelta(days=3), "shop", "c1", typed)],
        answers={"nps": Answer("nps", "shop", "n1", NOW, {"rating": 9}, typed)},
        recent=[
            RecentTouchpoint(
                "shop", "p1", "purchase", NOW, typed, 4999, "EUR", None, typed, 8, pending_match=False
            ),
            RecentTouchpoint(
                "shop", "r1", "refund", NOW, None, None, None, None, typed, None, pending_match=True
            ),
        ],
        actions=[
            Action(
                "resolve_complaint", "A complaint is open for 3 days; resolving it now gives back 19.9 points"
            )
        ],
        notes=[Remark("note_1", typed, typed, NOW)],
    )
    return told._replace(**members)


def test_the_summary_says_who_how_why_what_is_open_and_what_to_do() -> None:
    known = score(EMPTY, 0, MODEL)._replace(score_exact=49.2, band="cooling", coverage=0.8)
    assert summary(context("Ada Lovelace", health=known)) == (
        "Ada Lovelace, customer since 2026-08-12. Health is 49 of 100, cooling, with 80 % of the evidence. "
        "Bought 3 times, last 40 days ago: +24.2 points. Spent 140.00 EUR so far: +7.6 points. "
        "1 complaint is open, high. "
        "Next: resolve complaint; resolving it now gives back 19.9 points."
    )


def test_of_somebody_new_the_summary_says_just_that() -> None:
    nobody = context()._replace(
        first_purchase_at=None, reasons=[], open_complaints=[], actions=[], red_flags=(), recent=[]
    )
    nameless = nobody.customer._replace(profile=Profile(), identifiers=())
    assert summary(nobody._replace(customer=nameless)) == (
        "Customer 00000000-0000-0000-0000-000000000007, known since 2026-11-20, no purchase yet. Health is unknown."
    )


def test_a_customer_without_a_name_goes_by_the_oldest_identifier() -> None:
    told = context()
    nameless = told.customer._replace(
        profile=Profile(), identifiers=(HeldIdentifier("email", "ada@example.com", NOW),)
    )
    assert summary(told._replace(customer=nameless)).startswith("Customer ada@example.com, ")


def test_the_worst_of_several_open_complaints_is_named() -> None:
    several = [OpenComplaint("c", severity, NOW, "s", "i", "d") for severity in ("medium", "critical", "low")]
    assert "3 complaints are open, the worst critical." in summary(context(open_complaints=several))


texts = st.text(max_size=300)


@given(
    typed=texts,
    reasons=st.lists(texts, max_size=8),
    actions=st.lists(st.builds(Action, st.just("win_back"), texts), max_size=3),
    severities=st.lists(st.sampled_from(list(SEVERITIES)), max_size=60),
)
def test_the_summary_is_one_line_of_at_most_eighty_words(
    typed: str, reasons: list[str], actions: list[Action], severities: list[str]
) -> None:
    complaints = [OpenComplaint("c", severity, NOW, "s", "i", "d") for severity in severities]
    told = summary(context(typed, reasons=reasons, actions=actions, open_complaints=complaints))
    assert 0 < len(told.split()) <= SUMMARY_WORDS
    assert told == " ".join(told.split())


def test_markdown_says_it_in_headings_and_short_lists() -> None:
    told = markdown(context("Ada"))
    assert told.startswith("# Ada\n\nAda, customer since 2026-08-12.")
    assert "## Open complaints\n\n- Complaint Ada, high, open for 3 days: Ada\n" in told
    assert "- NPS 9 of 10 on 2026-11-20: Ada\n" in told
    assert "- 2026-11-20: Ada (via Ada, health +8)\n- 2026-11-20: Ada (waits for what it names)\n" in told
    assert told.endswith("## Notes\n\n- 2026-11-20, Ada: Ada\n")


def test_markdown_leaves_out_what_there_is_nothing_of() -> None:
    nothing = context(open_complaints=[], answers={}, recent=[], actions=[], notes=[])
    headings = [line for line in markdown(nothing).splitlines() if line.startswith("#")]
    assert headings == ["# typed", "## Customer", "## Health"]


def _shape(told: str) -> list[str]:
    """The kinds of token that a CommonMark reader finds, texts aside."""

    def walk(tokens: list[Token]) -> list[str]:
        return [
            kind
            for token in tokens
            for kind in (*([token.type] if token.type != "text" else []), *walk(token.children or []))
        ]

    return walk(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(told))


NASTY = (
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "```\ncode\n```",
    "[link](https://example.com)",
    "![image](x)",
    "<https://example.com>",
    "<script>alert(1)</script>",
    "<!-- x -->",
    "&lt;b&gt;",
    "**bold** _it_ ~~gone~~ `code`",
    "a\n\n# b\n\n---\n\nc",
    "a\u2028# b",
    "[x]: https://example.com\n[x]",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "ends with \\",
    "x\n===",
    "<div>\n\n</div>",
    "$x$ \\[y\\]",
)


@given(
    st.sampled_from(NASTY)
    | st.lists(st.sampled_from(NASTY), max_size=4).map("\n".join)
    | st.text(max_size=80)
)
def test_what_people_typed_never_becomes_markup(typed: str) -> None:
    # Empty texts are left out, which changes the shape; so there is always a word.
    assert _shape(markdown(context(f"word {typed}"))) == _shape(markdown(context("word")))


def test_bare_addresses_are_not_left_for_a_renderer_to_link() -> None:
    told = markdown(context("see https://example.com and www.example.com"))
    assert "https://" not in told
    assert "www." not in told
