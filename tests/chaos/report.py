"""Storms as Markdown tables: figures as they were counted, nothing rounded up."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from tests.chaos import faults
from tests.chaos.harness import Report
from tests.chaos.killer import KINDS, TWO_SECONDS
from tests.chaos.mutants import MUTANTS

GAP_GOAL_SECONDS = 5.0


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def kills_table(report: Report) -> str:
    """How often what was killed, or went wrong, and how long it took until every client was served again."""
    rows: list[Sequence[object]] = [
        (says, report.kills[kind], *_spread(report.recoveries.get(kind, [])))
        for kind, says in ({**KINDS, **faults.KINDS}).items()
        if kind in KINDS or report.kills[kind]
    ]
    twos = [end - begin for begin, end in report.twos]
    rows.append((f"(two of these within {TWO_SECONDS[1]} s)", f"({len(twos)})", *_spread(twos)))
    rows.append(("**all**", f"**{report.kills.total()}**", "", ""))
    return _table(("fault", "times", "served again after, median s", "longest s"), rows)


def facts_table(report: Report) -> str:
    """What became of what was told, by its kind."""
    rows = [
        (kind, f"{fact.sent:,}", f"{fact.acknowledged:,}", f"{fact.refused:,}", fact.lost, fact.doubled)
        for kind, fact in report.facts.items()
    ]
    return _table(("fact", "sent", "acknowledged", "refused", "lost", "doubled"), rows)


def _spread(seconds: Sequence[float]) -> tuple[str, str]:
    return (f"{median(seconds):.2f}", f"{max(seconds):.2f}") if seconds else ("-", "-")


def outcome_table(report: Report) -> str:
    """What became of the events."""
    findings = report.findings
    rows = [
        ("seed", report.seed),
        ("seconds", f"{report.seconds:,.0f}"),
        ("events sent", f"{report.sent:,}"),
        ("sent again (no answer, 503, left early, sent twice)", f"{report.retried:,}"),
        ("answers 201, 200, 503, none", _answers(report)),
        ("acknowledged", f"{report.acknowledged:,}"),
        ("poison, refused alone", f"{report.poison:,}"),
        (
            "refused for a reason (no points, no stock, a hold that was settled)",
            f"{report.refused - report.poison:,}",
        ),
        ("never answered", f"{report.given_up:,}"),
        ("**lost**", f"**{len(findings.lost)}**"),
        ("**doubled**", f"**{len(findings.doubled)}**"),
        ("**stored, but never sent**", f"**{len(findings.invented)}**"),
        ("**half written**", f"**{len(findings.halved)}**"),
        ("**wrong answers**", f"**{len(findings.wrong)}**"),
        ("**differences of `rapport verify`**", f"**{len(findings.unproven)}**"),
        (f"longest gap of a client, s (goal {GAP_GOAL_SECONDS:.0f})", f"{report.longest_gap:.2f}"),
    ]
    if report.twos:
        rows.append(("the same, two kills at once", f"{report.longest_gap_of_two:.2f}"))
    return _table(("what", "count"), rows)


def _answers(report: Report) -> str:
    statuses: Sequence[int | None] = (201, 200, 503, None)
    return ", ".join(f"{report.statuses[status]:,}" for status in statuses)


def cuts_table(report: Report) -> str:
    """How often the connection was cut where."""
    rows: list[Sequence[object]] = [(says, count) for says, count in report.kills.most_common()]
    rows.append(("**all**", f"**{report.kills.total()}**"))
    return _table(("cut", "times"), rows)


def mutants_table(reports: Mapping[str, Report]) -> str:
    """What the harness says of each service that lacks one safety."""
    rows = []
    for name, report in reports.items():
        found = report.findings
        counts = (len(found.lost), len(found.doubled), len(found.wrong), len(found.unproven))
        rows.append((MUTANTS[name].says, *counts, "missed" if report.holds else "caught"))
    head = ("taken out", "lost", "doubled", "wrong answers", "differences of `rapport verify`", "harness")
    return _table(head, rows)


def problems(report: Report) -> list[str]:
    """What does not hold, in sentences: the first of each kind."""
    found = report.findings.first()
    if report.given_up:
        found.append(f"{report.given_up} events got no answer within the time a client tries")
    open_ends = report.sent - report.acknowledged - report.refused
    if open_ends > 0:
        found.append(f"{open_ends} events came to no end")
    return found
