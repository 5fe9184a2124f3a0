"""Storms as Markdown tables: figures as they were counted, nothing rounded up."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from tests.chaos import faults
from tests.chaos.harness import Report
from tests.chaos.killer import KINDS, TWO_SECONDS
from tests.chaos.mutants import MUTANTS

GAP_GOAL_SECONDS = 5.0
_ENDED = ("hold_captured", "hold_released", "hold_expired", "already_captured")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def kills_table(report: Report) -> str:
    """How often what was killed, or went wrong, and how long it took until every client was served again."""
    rows: list[Sequence[object]] = [
        (
            says,
            report.kills[kind],
            *_spread(report.recoveries.get(kind, [])),
            _gap(report.longest_gap_of(kind)),
        )
        for kind, says in ({**KINDS, **faults.KINDS}).items()
        if kind in KINDS or report.kills[kind]
    ]
    twos = [end - begin for begin, end in report.twos]
    rows.append(
        (
            f"(two of these within {TWO_SECONDS[1]} s)",
            f"({len(twos)})",
            *_spread(twos),
            _gap(report.longest_gap_of_two),
        )
    )
    rows.append(("**all**", f"**{report.kills.total()}**", "", "", ""))
    head = ("fault", "times", "served again after, median s", "longest s", "longest gap of a client, s")
    return _table(head, rows)


def facts_table(report: Report) -> str:
    """What became of what was told, by its kind."""
    rows = [
        (kind, f"{fact.sent:,}", f"{fact.acknowledged:,}", f"{fact.refused:,}", fact.lost, fact.doubled)
        for kind, fact in report.facts.items()
    ]
    return _table(("fact", "sent", "acknowledged", "refused", "lost", "doubled"), rows)


def _gap(seconds: float | None) -> str:
    return f"{seconds:.2f}" if seconds else "-"


def ledger_table(report: Report) -> str:
    """What became of points: entries of the ledger, holds by what became of them, and what was refused for good."""
    count, refused = report.ledger, report.refusals
    holds = sum(times for what, times in count.items() if what.startswith("hold "))
    rows = [
        ("earns", count.get("earn", 0)),
        ("clawbacks", count.get("clawback", 0)),
        ("holds", holds),
        ("captures", count.get("hold captured", 0)),
        ("releases", count.get("hold released", 0)),
        ("holds that ran out", count.get("hold expired", 0)),
        ("spent points given back", count.get("restore", 0) + count.get("reinstate", 0)),
        ("adjustments", count.get("adjust", 0)),
        ("debts that new points paid", count.get("absorb", 0)),
        ("refused: not enough points", refused["insufficient_points"]),
        ("refused: none left of the reward", refused["sold_out"]),
        ("refused: the hold had another end", sum(refused[code] for code in _ENDED)),
        ("refused: nothing left to give back", refused["more_than_spent"]),
    ]
    return _table(("points", "times"), [(what, f"{times:,}") for what, times in rows])


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
        counts = (
            len(part) for part in (found.lost, found.doubled, found.halved, found.wrong, found.unproven)
        )
        rows.append((MUTANTS[name].says, *counts, "missed" if report.holds else "caught"))
    kinds = ("lost", "doubled", "half written", "wrong answers", "differences of `rapport verify`")
    head = ("taken out", *kinds, "harness")
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
