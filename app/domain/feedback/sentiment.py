"""The sentiment of a text: rules and a lexicon, with the words that speak for it. English only.

The method is of the family of VADER (Hutto and Gilbert 2014): words with weights, negation, words that strengthen, a
turn at "but". Words and rules are our own, with turns of phrase for what goes wrong in a shop. A given rating always
leads. docs/feedback-evidence.md tells how often it is right.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from app.domain.feedback.lexicon import Lexicon, shipped
from app.domain.feedback.scales import Scale, is_high, is_low

Label = Literal["positive", "negative", "neutral", "unknown"]
Doubt = Literal["language", "too_short", "both_ways"]

METHOD: Final = "lexicon"
LABELS: Final[tuple[Label, ...]] = ("positive", "negative", "neutral", "unknown")
LONGEST_READ: Final = 2000
"""Characters; by then a text has said what it has to say, and the worst one costs 15 ms."""

MOST_EVIDENCE: Final = 10
SURE: Final = 0.4
"""The confidence from which on a text may contradict a rating."""

_CLEAR: Final = 0.2
_DAMPING: Final = 2.0
_NEGATION_REACH: Final = 3
_NEGATED: Final = -0.7
_STRONGER: Final = 1.4
_WEAKER: Final = 0.7
_BEFORE_TURN: Final = 0.6
_AFTER_TURN: Final = 1.3
_NOTHING_SEEN: Final = 0.3
_SAID_TO_BE_NEUTRAL: Final = 0.5
_FEWEST_WORDS: Final = 3
_FOREIGN_SHARE: Final = (
    3  # at most a third as many foreign words as known ones, and known ones a third of all
)

_TOKEN: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|[.!?;:\n]+|,")
_NOT: Final = re.compile(r"\b(ca|wo|sha)n't\b|n't\b")
_WHOLE: Final = {"ca": "can", "wo": "will", "sha": "shall", None: ""}
_ACCENTED: Final = frozenset(("café", "cafés", "décor", "naïve", "fiancé", "fiancée", "cliché", "clichéd"))


@dataclass(frozen=True, slots=True)
class Sentiment:
    """What a text says. The score is in [-1, 1] and None when unknown; `confidence` in [0, 1].

    `evidence` are the terms that decided, in the order of the text, lower case. `doubt` says why a text is unknown.
    """

    label: Label
    score: float | None
    confidence: float
    evidence: tuple[str, ...]
    lexicon_version: str
    doubt: Doubt | None = None
    method: str = METHOD


class _Term(NamedTuple):
    """Something the text says, at a place in it, and how much."""

    at: int
    words: str
    weight: float


class _Token(NamedTuple):
    """A word, or a mark that parts sentences or their parts."""

    at: int
    text: str

    @property
    def is_word(self) -> bool:
        return self.text[0].isalpha()


def sentiment_of(text: str, lexicon: Lexicon | None = None) -> Sentiment:
    """The sentiment of a text, of which at most 2,000 characters are read; None: by the lexicon of this release.

    `unknown`: another language, too little to go by, or good and bad in balance. `neutral`: English that neither
    praises nor complains, as far as the lexicon sees.
    """
    known = shipped() if lexicon is None else lexicon
    normal = _normalised(text[:LONGEST_READ])
    tokens = [_Token(found.start(), found[0]) for found in _TOKEN.finditer(normal)]
    words = [token.text for token in tokens if token.is_word]
    if not words:
        return _unknown(known, "too_short")
    if not _is_english(words, known):
        return _unknown(known, "language")
    phrases = _phrases(normal, known)
    terms = sorted((*(term for term in phrases if term.weight), *_lone_words(tokens, phrases, known)))
    return _judged(_turned(terms, tokens, known), known) if terms else _without_terms(words, known)


def contradicts(kind: str, rating: int, scale: Scale, sentiment: Sentiment) -> bool:
    """Whether a text is `mixed` with its rating: surely bad words beside the best, or good ones beside the worst."""
    if sentiment.confidence < SURE:
        return False
    if sentiment.label == "negative":
        return is_high(kind, rating, scale)
    return sentiment.label == "positive" and is_low(kind, rating, scale)


def _normalised(text: str) -> str:
    straight = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower()
    spelt = _NOT.sub(lambda found: f"{_WHOLE[found[1]]} not", straight)
    return " ".join(re.sub(r"\bcannot\b", "can not", spelt).replace("'", " ").split(" "))


def _unknown(lexicon: Lexicon, doubt: Doubt, evidence: tuple[str, ...] = ()) -> Sentiment:
    return Sentiment("unknown", None, 0.0, evidence, lexicon.version, doubt)


# --- the language ---------------------------------------------------------------------------------------------------


def _is_english(words: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether known words say English, and nothing says another language loudly."""
    known = sum(lexicon.is_english(word) for word in words)
    foreign = sum(_is_foreign(word, lexicon) for word in words)
    return foreign * _FOREIGN_SHARE < known and known * _FOREIGN_SHARE >= len(words)


def _is_foreign(word: str, lexicon: Lexicon) -> bool:
    return word in lexicon.foreign or (not word.isascii() and word not in _ACCENTED)


# --- what it says ---------------------------------------------------------------------------------------------------


def _phrases(normal: str, lexicon: Lexicon) -> list[_Term]:
    """The turns of phrase; where several match one place, the first of the lexicon takes it."""
    taken: list[_Term] = []
    for pattern, weight in lexicon.phrases:
        for found in pattern.finditer(normal):
            start, end = found.span()
            if all(end <= other.at or start >= other.at + len(other.words) for other in taken):
                taken.append(_Term(start, found[0], weight))
    return taken


def _lone_words(tokens: Sequence[_Token], phrases: Sequence[_Term], lexicon: Lexicon) -> Iterator[_Term]:
    """The words outside the turns of phrase, with what stands before them in their part of the sentence."""
    for number, token in enumerate(tokens):
        if any(phrase.at <= token.at < phrase.at + len(phrase.words) for phrase in phrases):
            continue
        weight = lexicon.weight(token.text) if token.is_word else None
        if weight is None:
            continue
        before = _before(tokens, number, lexicon)
        if _is_negated(before, lexicon):
            weight *= _NEGATED * _emphasis(before, lexicon)
            yield _Term(token.at, f"not {token.text}", weight)
        else:
            yield _Term(token.at, token.text, weight * _emphasis(before, lexicon))


def _before(tokens: Sequence[_Token], number: int, lexicon: Lexicon) -> list[str]:
    """Up to three words before this one, the nearest first, within the same part of the sentence."""
    words: list[str] = []
    for token in reversed(tokens[max(0, number - _NEGATION_REACH) : number]):
        if not token.is_word or token.text in lexicon.turns:
            break
        words.append(token.text)
    return words


def _emphasis(before: Sequence[str], lexicon: Lexicon) -> float:
    if not before:
        return 1.0
    return _STRONGER if before[0] in lexicon.stronger else _WEAKER if before[0] in lexicon.weaker else 1.0


def _is_negated(before: Sequence[str], lexicon: Lexicon) -> bool:
    """A negation before it, unless it is "not only"."""
    return "only" not in before and any(word in lexicon.negations for word in before)


def _turned(terms: Sequence[_Term], tokens: Sequence[_Token], lexicon: Lexicon) -> list[_Term]:
    """What stands after a "but" counts for more than what stands before it in the same sentence."""
    ends = [token.at for token in tokens if not token.is_word and token.text != ","]
    last_turn = {bisect_left(ends, token.at): token.at for token in tokens if token.text in lexicon.turns}
    weighed = []
    for term in terms:
        turn = last_turn.get(bisect_left(ends, term.at))
        factor = 1.0 if turn is None else _AFTER_TURN if term.at > turn else _BEFORE_TURN
        weighed.append(term._replace(weight=term.weight * factor))
    return weighed


# --- and what follows from it ---------------------------------------------------------------------------------------


def _without_terms(words: Sequence[str], lexicon: Lexicon) -> Sentiment:
    said = tuple(word for word in words if word in lexicon.neutral)[:MOST_EVIDENCE]
    if said:
        return Sentiment("neutral", 0.0, _SAID_TO_BE_NEUTRAL, said, lexicon.version)
    if len(words) < _FEWEST_WORDS:
        return _unknown(lexicon, "too_short")
    return Sentiment("neutral", 0.0, _NOTHING_SEEN, (), lexicon.version)


def _judged(terms: Sequence[_Term], lexicon: Lexicon) -> Sentiment:
    """The score is sum / (sum of sizes + 2): strong words of one side come near 1, both sides cancel out."""
    total = sum(term.weight for term in terms)
    score = round(total / (sum(abs(term.weight) for term in terms) + _DAMPING), 4)
    evidence = tuple(term.words for term in terms)[:MOST_EVIDENCE]
    if abs(score) >= _CLEAR:
        return Sentiment(
            "positive" if score > 0 else "negative", score, abs(score), evidence, lexicon.version
        )
    if min(term.weight for term in terms) < 0 < max(term.weight for term in terms):
        return _unknown(lexicon, "both_ways", evidence)
    return Sentiment("neutral", score, _NOTHING_SEEN, evidence, lexicon.version)
