"""A back-test as tables for people: names, figures in words, and the table a terminal shows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.fitting.backtest import MODELS, RAPPORT
from app.fitting.comparison import FIGURES

TITLES: Final = MappingProxyType(
    {
        RAPPORT: "Rapport",
        "bg_nbd": "BG/NBD",
        "mbg_nbd": "MBG/NBD",
        "pareto_nbd": "Pareto/NBD",
        "rfm_quantiles": "RFM quantiles",
        "scorecard": "Weighted scorecard",
        "recency": "Recency only",
    }
)
"""Models by their names for people."""

HEADINGS: Final = MappingProxyType(
    {
        "auc": ("AUC", "chance that a buyer ranks above a non-buyer; higher is better"),
        "log_loss": ("Log-loss", "mean surprise at what happened; lower is better"),
        "brier": ("Brier", "mean squared error of the probability; lower is better"),
        "ece": ("ECE", "mean distance of predicted from observed rates, by tenths; lower is better"),
        "spearman": ("Spearman", "rank correlation with the number of purchases; higher is better"),
        "total_ratio": ("Total", "predicted over actual purchases; 1 is best"),
        "top_decile_share": (
            "Top tenth",
            "share of all purchases made by the tenth ranked highest; higher is better",
        ),
    }
)
"""Figures: a heading, and what it means."""

_HIGHER: Final = frozenset({"auc", "spearman", "top_decile_share"})
_TIE: Final = 5e-5


def number(value: float | None, digits: int = 4) -> str:
    """A figure with so many digits; a dash where it is not defined."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign; a dash where it is not defined."""
    return "-" if value is None else f"{value:+.{digits}f}"


def percent(value: float | None) -> str:
    """A share as "-2.1 %"; a dash where it is not defined."""
    return "-" if value is None else f"{100 * value:+.1f} %"


def best(models: Mapping[str, Mapping[str, float | None]], figure: str) -> frozenset[str]:
    """The models with the best value of a figure; those that print alike share it."""
    known = {name: value for name in MODELS if (value := models[name][figure]) is not None}
    if not known:
        return frozenset()
    if figure == "total_ratio":
        loss = {name: abs(value - 1) for name, value in known.items()}
    else:
        loss = {name: -value if figure in _HIGHER else value for name, value in known.items()}
    least = min(loss.values())
    return frozenset(name for name, value in loss.items() if value - least < _TIE)


def verdict(result: Mapping[str, Any]) -> str:
    """One sentence on the comparison with BG/NBD."""
    against = result["differences"].get("bg_nbd")
    ours, theirs = (result["models"][name]["auc"] for name in (RAPPORT, "bg_nbd"))
    if not against or ours is None or theirs is None:
        return "The log is too small to compare anything; the notes say why."
    low, high = against["auc"]["interval"]
    word = (
        "better than"
        if low is not None and low > 0
        else "worse than"
        if high is not None and high < 0
        else "like"
    )
    told = f"Ranks who comes back {word} BG/NBD: AUC {ours:.4f} against {theirs:.4f}"
    if low is not None:
        told += f" (difference {ours - theirs:+.4f}, 95 % interval {low:+.4f} to {high:+.4f})"
    relative = against["log_loss_relative"]["difference"]
    return f"{told}; log-loss {percent(relative)}." if relative is not None else f"{told}."


def text(result: Mapping[str, Any], title: str) -> RenderableType:
    """What the terminal shows: figures, differences, snapshots, notes."""
    parts: list[RenderableType] = [_models(result, title), Text(verdict(result)), _differences(result)]
    if result["snapshots"]:
        parts.append(_snapshots(result))
    parts += [Text(f"Note: {note}") for note in result["notes"]]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _models(result: Mapping[str, Any], title: str) -> Table:
    models = result["models"]
    winners = {figure: best(models, figure) for figure in FIGURES}
    caption = (
        f"{title}: {result['horizon_days']} days ahead, averaged over {len(result['snapshots'])} snapshots"
    )
    table = _table(caption, "", *(HEADINGS[figure][0] for figure in FIGURES))
    for name in MODELS:
        cells = [
            Text(number(models[name][figure]), style="bold" if name in winners[figure] else "")
            for figure in FIGURES
        ]
        table.add_row(TITLES[name], *cells)
    return table


def _differences(result: Mapping[str, Any]) -> Table:
    table = _table("Rapport minus the others, with 95 % intervals", "", "AUC", "", "Log-loss", "", "in %")
    for name, apart in result["differences"].items():
        table.add_row(
            TITLES[name],
            signed(apart["auc"]["difference"]),
            span(apart["auc"]["interval"]),
            signed(apart["log_loss"]["difference"]),
            span(apart["log_loss"]["interval"]),
            percent(apart["log_loss_relative"]["difference"]),
        )
    return table


def span(interval: list[float | None]) -> str:
    """An interval as "+0.0107 to +0.0152"; a dash where it is not defined."""
    low, high = interval
    return "-" if low is None else f"{signed(low)} to {signed(high)}"


def _snapshots(result: Mapping[str, Any]) -> Table:
    table = _table(
        "Snapshots", "End of", "Customers", "Bought", "AUC", "BG/NBD", "Log-loss", "BG/NBD", "Model"
    )
    for each in result["snapshots"]:
        ours, theirs = each["models"][RAPPORT], each["models"]["bg_nbd"]
        table.add_row(
            each["date"],
            f"{each['customers']:,}",
            f"{100 * each['bought'] / each['customers']:.1f} %" if each["customers"] else "-",
            number(ours["auc"]),
            number(theirs["auc"]),
            number(ours["log_loss"]),
            number(theirs["log_loss"]),
            ", ".join(sorted({fit["path"].replace("_", " ") for fit in each["fits"]})),
        )
    return table
