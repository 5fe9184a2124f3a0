"""How well sentiment is told: precision and recall per class.

    python -m bench.sentiment                               the texts of tests/data, held out
    python -m bench.sentiment vaderSentiment-2.5.tar.gz     also what 20 people each said of texts published with VADER
                                                            (MIT): sentences of product reviews, and tweets

    python -m bench.sentiment --vader ...                   the same by vaderSentiment 3.3.2, where it is installed

    pip download --no-deps --no-binary :all: vaderSentiment==2.5      fetches that archive

A published mean from -4 to 4 is negative up to -0.5, positive from 0.5 on, neutral between. Of the product reviews
those with an odd number were read while the lexicon was made; the figures to believe are those of the even ones.
"""

import argparse
import importlib
import io
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from app.domain.feedback.sentiment import LABELS, sentiment_of

HELD_OUT = Path(__file__).parent.parent / "tests" / "data" / "feedback_holdout.tsv"
_INNER = "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz"
_REVIEWS = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"
_TWEETS = "hutto_ICWSM_2014/tweets_GroundTruth.txt"
_BORDER = 0.5
_VADER_BORDER = 0.05


class Labelled(NamedTuple):
    """A text, what people say of it, and where it comes from."""

    label: str
    text: str
    number: int = 0


class Quality(NamedTuple):
    """Of one class: how many there are, how many were told, and shares from 0 to 1 (0 where there are none)."""

    label: str
    n: int
    told: int
    precision: float
    recall: float
    f1: float


def held_out(path: Path = HELD_OUT) -> list[Labelled]:
    lines = path.read_text(encoding="utf-8").splitlines()
    parts = (line.partition("\t") for line in lines)
    return [Labelled(label, text) for label, _, text in parts]


def published(archive: Path, member: str) -> Iterator[Labelled]:
    with tarfile.open(archive) as outer:
        inner = outer.extractfile(_INNER)
        if inner is None:
            raise FileNotFoundError(_INNER)
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as packed:
            texts = packed.extractfile(member)
            if texts is None:
                raise FileNotFoundError(member)
            for line in io.TextIOWrapper(texts, encoding="latin-1"):
                number, mean, text = line.rstrip("\n").split("\t", 2)
                yield Labelled(_side(float(mean)), text, int(number.partition("_")[0]))


def _side(mean: float) -> str:
    return "positive" if mean >= _BORDER else "negative" if mean <= -_BORDER else "neutral"


def ours(text: str) -> str:
    return sentiment_of(text).label


def vaders() -> Callable[[str], str]:
    """The published analyser with the borders its authors give."""
    analyser = importlib.import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()

    def label(text: str) -> str:
        score = analyser.polarity_scores(text)["compound"]
        return "positive" if score >= _VADER_BORDER else "negative" if score <= -_VADER_BORDER else "neutral"

    return label


def qualities(texts: Iterable[Labelled], label_of: Callable[[str], str] = ours) -> list[Quality]:
    """Precision, recall and their harmonic mean per class. An `unknown` of a text with a side is a miss."""
    pairs = Counter((one.label, label_of(one.text)) for one in texts)
    found = []
    for label in LABELS:
        n = sum(count for (truth, _), count in pairs.items() if truth == label)
        told = sum(count for (_, said), count in pairs.items() if said == label)
        right = pairs[label, label]
        precision, recall = right / max(told, 1), right / max(n, 1)
        found.append(Quality(label, n, told, precision, recall, 2 * right / max(n + told, 1)))
    return found


def _print(title: str, texts: list[Labelled], label_of: Callable[[str], str]) -> None:
    started = time.perf_counter()
    rows = qualities(texts, label_of)
    took = (time.perf_counter() - started) / len(texts)
    print(f"\n{title}: {len(texts)} texts, {1e6 * took:.0f} us each\n")
    print("| class | texts | told | precision | recall | F1 |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.label} | {row.n} | {row.told} | {row.precision:.2f} | {row.recall:.2f} | {row.f1:.2f} |"
        )
    if label_of is ours:
        _print_sureness(texts)


def _print_sureness(texts: list[Labelled]) -> None:
    """How often a side that is told is right, by confidence."""
    told = [(one.label, sentiment_of(one.text)) for one in texts]
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 1.01)):
        sides = [truth == said.label for truth, said in told if said.score and low <= said.confidence < high]
        if sides:
            print(
                f"confidence {low:.1f} to {min(high, 1):.1f}: {sum(sides) / len(sides):.2f} of {len(sides)} right"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="How well sentiment is told")
    parser.add_argument("archive", nargs="?", type=Path, help="vaderSentiment-2.5.tar.gz")
    parser.add_argument("--vader", action="store_true", help="judge by vaderSentiment instead")
    arguments = parser.parse_args()
    label_of = vaders() if arguments.vader else ours
    _print("Held out, made up", held_out(), label_of)
    if arguments.archive:
        reviews = list(published(arguments.archive, _REVIEWS))
        even = [one for one in reviews if one.number % 2 == 0]
        _print("Product reviews, even numbers (held out)", even, label_of)
        _print("Product reviews, odd numbers (read)", [one for one in reviews if one.number % 2], label_of)
        _print("Tweets (not read)", list(published(arguments.archive, _TWEETS)), label_of)
    return 0


if __name__ == "__main__":
    sys.exit(main())
