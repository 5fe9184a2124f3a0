"""What is known of a customer as Markdown, for tools and readers of text."""

import re
from collections.abc import Iterator
from typing import Final

from app.domain.context import (
    ANSWERS,
    WHY_FOLLOW,
    Context,
    age_seconds,
    day,
    name_of,
    promises,
    spoken,
    summary,
)
from app.domain.customers import Customer
from app.domain.descriptions import rated
from app.domain.health import wording
from app.domain.health.value import PURCHASES_DAYS, VALUE_DAYS, Value
from app.domain.money import decimal_string

_QUOTE_LENGTH: Final = 300

# CommonMark takes a backslash before any ASCII punctuation. These begin code, emphasis, links, HTML, entities, tables
# and headings, and what some renderers add: strikethrough, formulas, and links made of bare addresses.
_MARKUP: Final = re.compile(r"[\\`*_\[\]<>&~|!#$]|:(?=//)|(?<=[wW]{3})\.")


def escaped(text: str) -> str:
    """`text` as one line of Markdown that shows exactly these words and starts nothing.

    Our own words must stand before it in its line: what begins a block (a dash, a number and a dot) is left alone.
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def markdown(context: Context) -> str:
    """The context as Markdown: headings and short lists; parts without data are left out."""
    parts = [f"# {escaped(name_of(context.customer))}", escaped(summary(context))]
    for title, lines in (
        ("Customer", _customer_lines(context.customer)),
        ("Health", _health_lines(context)),
        ("Loyalty", _loyalty_lines(context)),
        ("Open complaints", _complaint_lines(context)),
        ("Follow-ups", _follow_up_lines(context)),
        ("Next best actions", (f"{spoken(action)}: {escaped(why)}" for action, why in context.actions)),
        ("Feedback", _feedback_lines(context)),
        ("Recent touchpoints", _recent_lines(context)),
        ("Notes", _note_lines(context)),
    ):
        items = [f"- {line}" for line in lines]
        if items:
            parts += [f"## {title}", "\n".join(items)]
    return "\n\n".join(parts) + "\n"


def _customer_lines(customer: Customer) -> Iterator[str]:
    profile = customer.profile
    yield f"Id: {customer.id}"
    yield f"Stage: {spoken(customer.stage)}"
    for title, value in (
        ("Identifiers", ", ".join(f"{held.type}:{held.value}" for held in customer.identifiers)),
        ("Language", profile.language),
        ("Time zone", profile.timezone),
        ("Preferred channel", profile.preferred_channel),
        ("Tags", ", ".join(profile.tags)),
        ("Owner", profile.owner),
    ):
        if value:
            yield f"{title}: {escaped(value)}"


def _health_lines(context: Context) -> Iterator[str]:
    health = context.health
    if health.score is not None:
        yield f"Score: {health.score} of 100, {spoken(health.band)}"
        yield f"Coverage: {wording.percent(health.coverage)}, confidence: {wording.percent(health.confidence)}"
    yield from _opinion_lines(context)
    yield from _value_lines(context.value, context.currency)
    if context.red_flags:
        yield f"Red flags: {', '.join(map(spoken, context.red_flags))}"
    for reason in context.reasons:
        yield f"Reason: {escaped(reason)}"


def _opinion_lines(context: Context) -> Iterator[str]:
    override, sentiment = context.override, context.sentiment
    if override is not None:
        yield f"Set by hand to {override.score} until {day(override.until)}: {_quoted(override.reason)}"
    if sentiment is not None:
        note = f": {_quoted(sentiment.note)}" if sentiment.note else ""
        yield f"An agent found them {sentiment.sentiment} on {day(sentiment.set_at)}{note}"


def _value_lines(value: Value | None, currency: str) -> Iterator[str]:
    if value is None:
        return
    yield f"Probability of still being a customer (model): {wording.percent(value.p_alive)}"
    yield f"Expected purchases in {PURCHASES_DAYS} days: {value.expected_purchases:.1f}"
    if value.expected_value is not None:
        amount = decimal_string(value.expected_value, currency)
        yield f"Expected value in {VALUE_DAYS} days: {amount} {currency}"


def _loyalty_lines(context: Context) -> Iterator[str]:
    member = context.loyalty
    if member is None:
        return
    points, standing = member.balance, member.standing
    yield f"Points: {points.available} available, {points.pending} pending, {points.held} held"
    if standing is not None:
        yield f"Tier: {escaped(standing.tier)} since {day(standing.since)}, reviewed on {day(standing.review_at)}"
    if member.threat is not None:
        lost = member.threat
        yield (
            f"Tier {escaped(lost.tier)} is lost on {day(lost.on)} for {escaped(lost.would_be)}: "
            f"{lost.points_to_keep} more points keep it"
        )
    if member.lapsing is not None:
        yield f"{member.lapsing.points} points expire after {member.last_day}"


def _complaint_lines(context: Context) -> Iterator[str]:
    for complaint in context.open_complaints:
        age, case = wording.days(age_seconds(context, complaint)), complaint.case
        called = complaint.complaint_id if case is None else case.reference
        stands = "" if case is None else f"{spoken(case.state)}, "
        yield (
            f"Complaint {escaped(called)}, {escaped(complaint.severity)}, {stands}open for {age}: "
            f"{_quoted(complaint.description)}"
        )
    for promise in promises(context.open_complaints):
        yield promise.told(context.now)


def _follow_up_lines(context: Context) -> Iterator[str]:
    for one in context.follow_ups:
        late = ", overdue" if one.is_overdue(context.now) else ""
        whose = f", {escaped(one.owner)}" if one.owner else ", nobody's yet"
        yield f"{WHY_FOLLOW[one.reason]}{whose}, due on {day(one.due_at)}{late}"


def _feedback_lines(context: Context) -> Iterator[str]:
    for kind, title in ANSWERS.items():
        answer = context.answers.get(kind)
        if answer is not None:
            text = f": {_quoted(answer.text)}" if answer.text else ""
            yield f"{title} {escaped(rated(kind, answer.properties))} on {day(answer.at)}{text}"


def _recent_lines(context: Context) -> Iterator[str]:
    for row in context.recent:
        details = [f"via {escaped(row.channel)}"] if row.channel else []
        if row.health_delta is not None:
            details.append(f"health {row.health_delta:+d}")
        if row.pending_match:
            details.append("waits for what it names")
        suffix = f" ({', '.join(details)})" if details else ""
        yield f"{day(row.occurred_at)}: {_quoted(row.description)}{suffix}"


def _note_lines(context: Context) -> Iterator[str]:
    for note in context.notes:
        yield f"{day(note.created_at)}, {escaped(note.author)}: {_quoted(note.text)}"


def _quoted(text: str) -> str:
    """What somebody typed, cut to a length that a screen holds."""
    line = " ".join(text.split())
    return escaped(line if len(line) <= _QUOTE_LENGTH else f"{line[:_QUOTE_LENGTH]}...")
