"""The words of sentiment: English as customers of shops write it.

The list is our own and taken from no published one. Words whose side depends on the thing are left out (a heavy
blanket, a thin phone), and so is "die": in German it is an article.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

_ENDINGS: Final = (
    ("ies", "y"),
    ("ied", "y"),
    ("es", ""),
    ("s", ""),
    ("ed", ""),
    ("d", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ly", ""),
    ("er", ""),
    ("est", ""),
)
_SHORTEST_STEM: Final = 3


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What a version of the lexicon knows. Weights are from -3 to 3.

    `phrases` are tried in their order on text in lower case with "n't" as " not" and no apostrophes; one of weight 0
    says that its words mean nothing. `not_forms` look like forms of listed words and are none. `english` are small
    words, `vocabulary` others that show a short text to be English, `foreign` small words of other languages.
    """

    version: str
    weights: Mapping[str, float]
    phrases: tuple[tuple[re.Pattern[str], float], ...]
    neutral: frozenset[str]
    not_forms: frozenset[str]
    negations: frozenset[str]
    stronger: frozenset[str]
    weaker: frozenset[str]
    turns: frozenset[str]
    english: frozenset[str]
    vocabulary: frozenset[str]
    foreign: frozenset[str]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Lexicon":
        """The lexicon in a JSON document; lists of words are lines of words with spaces between."""
        weights = {
            word: float(group["weight"]) for group in document["words"] for word in _words(group["words"])
        }
        # Whole words only: "hard-wearing" is not "hard".
        phrases = tuple(
            (re.compile(rf"(?<![\w-])(?:{one['pattern']})(?![\w-])"), float(one["weight"]))
            for one in document["phrases"]
        )
        sets = {
            name: _words(document[name])
            for name in cls.__slots__
            if name not in ("version", "weights", "phrases")
        }
        return cls(document["version"], MappingProxyType(weights), phrases, **sets)

    def weight(self, word: str) -> float | None:
        """What a word says, itself or as a form of a listed one; None when it says nothing."""
        return next((self.weights[stem] for stem in self._stems(word) if stem in self.weights), None)

    def is_english(self, word: str) -> bool:
        """Whether a word is known as English."""
        if word in self.english or word in self.neutral or word in self.stronger or word in self.negations:
            return True
        return any(stem in self.weights or stem in self.vocabulary for stem in self._stems(word))

    def _stems(self, word: str) -> Iterator[str]:
        """The word and what it may be a form of, the likeliest first."""
        yield word
        if word in self.not_forms:
            return
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
                yield word.removesuffix(ending) + instead
        base = word.removesuffix("ing").removesuffix("ed")
        if base != word and len(base) > _SHORTEST_STEM and base[-1] == base[-2]:
            yield base[:-1]  # ripped, rip


@functools.cache
def shipped() -> Lexicon:
    """The lexicon of this release. Reads package data, once."""
    text = files("app.domain.feedback").joinpath("lexicons", "2026.1.json").read_text("utf-8")
    return Lexicon.parse(json.loads(text))


def _words(lines: Iterable[str]) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())
