"""A back-test as one HTML file that needs nothing else: no script, no font, no host."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from math import floor, log10
from typing import Any, Final

from app.fitting import plots, report
from app.fitting.backtest import MODELS, RAPPORT
from app.fitting.comparison import FIGURES
from app.fitting.plots import Axes, Series

_COMPARED: Final = (RAPPORT, "bg_nbd")
_GAINS: Final = (RAPPORT, "bg_nbd", "rfm_quantiles", "recency")
_TOP: Final = 0.1

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.ours { background: var(--soft); }
figure { margin: 1rem 0; } svg { width: 100%; max-width: 44rem; height: auto; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.grid { stroke: var(--line); stroke-width: .5; } .axis { stroke: currentColor; fill: none; }
.diagonal { stroke: currentColor; stroke-dasharray: 3 3; fill: none; }
"""


def page(result: Mapping[str, Any], title: str) -> str:
    """The report as HTML text. Every plot has its figures as a table too."""
    parts = [
        f"<h1>Back-test of {escape(title)}</h1>",
        f"<p><strong>{escape(report.verdict(result))}</strong></p>",
        f"<p>{escape(_what_was_done(result))}</p>",
        _models(result),
        _differences(result),
    ]
    if result["snapshots"]:
        parts += [_calibration(result), _gain(result), _distribution(result), _snapshots(result)]
    parts += [_notes(result), _origin(result)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Back-test of {escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _what_was_done(result: Mapping[str, Any]) -> str:
    protocol, horizon = result["protocol"], result["horizon_days"]
    return (
        f"Would they buy in the next {horizon} days? Each model answered at the end of "
        f"{', '.join(each['date'] for each in result['snapshots']) or 'no day'} from what was known by then, fitted "
        f"on earlier times and on the other of {protocol['folds']} halves of the customers. Intervals: 95 %, "
        f"{protocol['resamples']} resamples of the customers, the same for all models."
    )


def _models(result: Mapping[str, Any]) -> str:
    models = result["models"]
    winners = {figure: report.best(models, figure) for figure in FIGURES}
    rows = []
    for name in MODELS:
        values = [
            f"<strong>{report.number(models[name][figure])}</strong>"
            if name in winners[figure]
            else report.number(models[name][figure])
            for figure in FIGURES
        ]
        rows.append((report.TITLES[name], values, name == RAPPORT))
    meaning = "".join(
        f"<li><strong>{escape(heading)}</strong>: {escape(told)}</li>"
        for heading, told in report.HEADINGS.values()
    )
    headings = [report.HEADINGS[figure][0] for figure in FIGURES]
    table = _table("Averages over the snapshots; the best of each column is bold", ["Model", *headings], rows)
    return f"<h2>Figures</h2>{table}<ul>{meaning}</ul>"


def _differences(result: Mapping[str, Any]) -> str:
    rows = []
    for name, apart in result["differences"].items():
        values = []
        for figure in ("auc", "log_loss", "brier"):
            values += [report.signed(apart[figure]["difference"]), report.span(apart[figure]["interval"])]
        values.append(report.percent(apart["log_loss_relative"]["difference"]))
        rows.append((report.TITLES[name], values, False))
    headings = ["Against", "AUC", "95 %", "Log-loss", "95 %", "Brier", "95 %", "Log-loss in %"]
    return "<h2>Rapport minus the others</h2>" + _table("Differences and their intervals", headings, rows)


def _calibration(result: Mapping[str, Any]) -> str:
    tables = {name: result["calibration"][name] for name in _COMPARED}
    series = [
        Series(report.TITLES[name], [(row["predicted"], row["observed"]) for row in bins], dots=True)
        for name, bins in tables.items()
    ]
    highest = max((value for one in series for point in one.points for value in point), default=1.0)
    reach = min(1.0, _round_up(highest))
    error = result["models"][RAPPORT]["ece"]
    axes = Axes(
        "Calibration",
        f"Observed against predicted share of buyers in tenths of the customers. Rapport's mean distance from the "
        f"diagonal, averaged over the snapshots, is {report.number(error)}. The figures are in the table below.",
        "Predicted share who buy",
        "Observed share who bought",
        reach,
        reach,
    )
    rows = [
        (
            report.TITLES[name],
            [
                f"{row['customers']:,}",
                report.number(row["predicted"], 3),
                report.number(row["observed"], 3),
            ],
            name == RAPPORT,
        )
        for name, bins in tables.items()
        for row in bins
    ]
    table = _table("Tenths by predicted probability", ["Model", "Customers", "Predicted", "Observed"], rows)
    return _figure("Calibration", plots.lines("calibration", axes, series, "as predicted"), table)


def _gain(result: Mapping[str, Any]) -> str:
    series = [Series(report.TITLES[name], result["gain"][name]) for name in _GAINS]
    found = {one.name: _at(one.points, _TOP) for one in series}
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.items() if share is not None)
    axes = Axes(
        "Gain",
        f"Share of all buyers found among the customers ranked highest. In the first tenth: {told or 'not defined'}.",
        "Share of customers, best ranked first",
        "Share of all buyers among them",
    )
    tenths = [index / 10 for index in range(1, 10)]
    rows = [
        (
            one.name,
            ["-" if (at := _at(one.points, share)) is None else f"{100 * at:.0f} %" for share in tenths],
            False,
        )
        for one in series
    ]
    table = _table("Buyers found", ["Model", *(f"{100 * share:.0f} %" for share in tenths)], rows)
    return _figure("Gain", plots.lines("gain", axes, series, "by chance"), table)


def _distribution(result: Mapping[str, Any]) -> str:
    bins = result["score_distribution"]
    axes = Axes(
        "Score distribution",
        "Customers by health score, and how many of them bought. The figures are in the table below.",
        "Health score",
        "Customers",
        100,
        _round_up(max(row["customers"] for row in bins)),
        x_as_percent=False,
        y_as_percent=False,
    )
    heights = [(row["customers"], row["bought"]) for row in bins]
    rows = [
        (
            f"{row['from']:.0f} to {row['to']:.0f}",
            [
                f"{row['customers']:,}",
                f"{row['bought']:,}",
                f"{100 * row['bought'] / row['customers']:.0f} %" if row["customers"] else "-",
            ],
            False,
        )
        for row in bins
    ]
    table = _table("Customers by score", ["Score", "Customers", "Bought", "Share"], rows)
    return _figure(
        "Score distribution",
        plots.bars("distribution", axes, heights, ("customers", "of them bought")),
        table,
    )


def _snapshots(result: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{each['date']}: {report.TITLES[name]}",
            [
                f"{each['customers']:,}",
                f"{each['bought']:,}",
                *(report.number(figures[figure]) for figure in FIGURES),
            ],
            name == RAPPORT,
        )
        for each in result["snapshots"]
        for name, figures in each["models"].items()
    ]
    headings = ["At the end of", "Customers", "Bought", *(report.HEADINGS[figure][0] for figure in FIGURES)]
    return "<h2>Snapshots</h2>" + _table("Each snapshot by itself", headings, rows)


def _notes(result: Mapping[str, Any]) -> str:
    told = "".join(f"<li>{escape(note)}</li>" for note in result["notes"])
    return f"<h2>Notes</h2><ul>{told}</ul>" if told else ""


def _origin(result: Mapping[str, Any]) -> str:
    data, protocol = result["data"], result["protocol"]
    return (
        f"<h2>Data</h2><p>{data['rows']:,} rows of {data['customers']:,} customers from {data['first']} to "
        f"{data['last']}: {data['purchases']:,} purchases, {data['refunds']:,} refunds. SHA-256 of the rows "
        f"<code>{data['sha256'][:16]}…</code>, seed {protocol['seed']}.</p>"
    )


def _at(points: Sequence[Sequence[float]], share: float) -> float | None:
    """The curve's height at `share`, between its points."""
    for (x1, y1), (x2, y2) in pairwise(points):
        if x1 <= share <= x2:
            return y1 + (y2 - y1) * (share - x1) / (x2 - x1)
    return None


def _round_up(value: float) -> float:
    """The next number whose fifths read well: 1, 1.5, 2, 2.5, 3, 4, 5, 7.5 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(next(step for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if step * power >= value) * power)


def _figure(title: str, svg: str, table: str) -> str:
    return f"<h2>{title}</h2><figure>{svg}</figure><details><summary>As a table</summary>{table}</details>"


def _table(caption: str, headings: Sequence[str], rows: Iterable[tuple[str, Sequence[str], bool]]) -> str:
    """Rows are (name, cells, ours); names are escaped here, cells are figures or markup made here."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(_row(*row) for row in rows)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[str], ours: bool) -> str:  # noqa: FBT001 - as it stands in the rows of tables
    kind = ' class="ours"' if ours else ""
    values = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{values}</tr>'
