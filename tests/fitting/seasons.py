"""Made-up shops in their first year, with seasons of many shapes: is a forecast without a known season better for it?

`python -m tests.fitting.seasons` prints the table of docs/health-evidence.md.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from app.domain.health.model import shipped
from app.fitting import snapshots
from app.fitting.backtest import FOLDS
from app.fitting.metrics import log_losses
from app.fitting.model_fit import SEED, ModelFit, fit_model
from app.fitting.numerics import Floats, logistic
from app.fitting.purchases import DAY, Purchases
from tests.fitting.logs import START

BASE = shipped()
WAYS = ("recent windows", "averaged over its error", "halfway to MBG/NBD", "both, as served")


class Loss(NamedTuple):
    """Log-loss at one snapshot of a shop: one for each of WAYS. `strong`: its season is; `young`: so are customers."""

    strong: bool
    young: bool
    losses: tuple[float, ...]


def young_shop(seed: int) -> tuple[Purchases, bool, bool]:
    """A log of 9 to 13 months of 1,200 to 4,000 customers, whether its season is strong, whether all are new to it.

    Rates and lifetimes differ as in Pareto/NBD. A yearly wave and one high time of some weeks multiply the rates, each
    of a random height, at a random time. In half of the shops the log begins years after the first customers came.
    """
    random = np.random.default_rng(seed)
    people, days = int(random.integers(1200, 4000)), int(random.integers(270, 400))
    before = int(random.choice([0, 0, 400, 800]))
    gap, shape = random.uniform(25, 120), random.uniform(0.5, 2)
    life, life_shape = random.uniform(150, 900), random.uniform(0.6, 3)
    wave, phase = abs(random.normal(0, 0.35)), random.uniform(0, 1)
    peak, peak_day = abs(random.normal(0, 0.8)), random.uniform(0, 365)

    def season(day: Floats) -> Floats:
        away = (day - peak_day + 182) % 365 - 182
        high: Floats = 1 + peak * np.exp(-0.5 * (away / 25) ** 2)
        return np.exp(wave * np.sin(2 * np.pi * (day / 365 + phase))) * high

    highest = float(season(np.arange(366.0)).max())
    rate = random.gamma(shape, 1 / (shape * gap), people)
    came = random.uniform(-before, days, people)
    left = np.minimum(
        days, came + random.exponential(1 / random.gamma(life_shape, 1 / (life_shape * life), people))
    )
    who = np.repeat(np.arange(people), random.poisson(rate * highest * (left - came)))
    when = came[who] + random.random(len(who)) * (left - came)[who]
    kept = random.random(len(who)) < season(when) / highest
    customer, day = np.concatenate([np.arange(people), who[kept]]), np.concatenate([came, when[kept]])
    seen = day >= 0
    known, customer = np.unique(customer[seen], return_inverse=True)
    at = (START + day[seen] * DAY).astype(np.int64)
    paid = np.exp(random.normal(8, 0.6, len(at))).astype(np.int64)
    log = Purchases.of_columns(
        customer.astype(np.int64), at, paid, np.zeros(len(at), dtype=np.bool_), customers=len(known)
    )
    return log, wave + peak / 2 > 0.4, before == 0


def losses(seed: int, horizon_days: int) -> Iterator[Loss]:
    """The out-of-time, out-of-customer log-losses of a shop at each of its snapshots that has closed windows."""
    log, strong, young = young_shop(seed)
    plan = snapshots.plan(int(log.at.min()), int(log.at.max()), horizon_days)
    fold = np.random.default_rng(SEED).permutation(log.customers) % FOLDS
    for at, trainings in zip(plan.tests, plan.trainings, strict=True):
        if not trainings:
            continue
        parts: list[Floats] = []
        for number in range(FOLDS):
            learners = fold != number
            own = fit_model(
                log.of_customers(learners),
                at,
                horizon_days=horizon_days,
                base=BASE,
                target=log.of_customers(learners).daily(),
            )
            if own.metadata.get("unseasoned_level") is None:
                return
            asked = log.of_customers(~learners).as_of(at)
            bought = log.outcome(at, at + horizon_days * DAY, asked.customers).bought
            chances = _ways(own, own.predict(asked, horizon_days)[0])
            parts.append(np.stack([log_losses(chance, bought) for chance in chances]))
        yield Loss(strong, young, tuple(np.concatenate(parts, axis=1).mean(axis=1).tolist()))


def _ways(own: ModelFit, served: Floats) -> tuple[Floats, ...]:
    """The chances in the order of WAYS: the last are served, the others take a part of what was done away again."""
    done = own.metadata["unseasoned_level"]
    linear = np.log(served / (1 - served)) / done["spread"]
    recent = linear - done["shift"]
    return logistic(recent), logistic(done["spread"] * recent), logistic(linear), served


def gains(found: list[Loss]) -> Floats:
    """Log-loss of each of WAYS less that of recent windows alone, shape (snapshots, len(WAYS))."""
    table = np.array([each.losses for each in found])
    return np.asarray(table - table[:, :1])


def main(shops: int = 40) -> None:
    """The means with their standard errors, as rows of a Markdown table."""
    rows = [f"| {' | '.join(('shops, horizon', 'snapshots', *WAYS[1:]))} |", "|---" * (len(WAYS) + 1) + "|"]
    for horizon in (60, 90):
        found = [each for seed in range(shops) for each in losses(seed, horizon)]
        groups = {
            "all": found,
            "strong season": [each for each in found if each.strong],
            "weak season": [each for each in found if not each.strong],
            "customers known from their first purchase": [each for each in found if each.young],
        }
        for name, group in groups.items():
            if len(group) < 2:
                continue
            gain = gains(group)[:, 1:]
            error = gain.std(axis=0, ddof=1) / np.sqrt(len(group))
            cells = (f"{mean:+.4f} ± {one:.4f}" for mean, one in zip(gain.mean(axis=0), error, strict=True))
            rows.append(f"| {name}, {horizon} days | {len(group)} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
