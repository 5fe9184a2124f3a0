"""What the words of an answer say, beside its rating."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.domain.feedback.answers import Answer
from app.domain.feedback.follow_ups import Reason, reason_of
from app.domain.feedback.sentiment import SURE, Sentiment, contradicts, sentiment_of

OLDEST_TO_FOLLOW: Final = timedelta(days=30)
"""Nobody is called about an answer that was older than this when it came in: an import calls nobody."""


class Words(NamedTuple):
    """The sentiment of a text, None without one, and whether it is `mixed` with the rating."""

    sentiment: Sentiment | None
    mixed: bool


def words_of(answer: Answer) -> Words:
    """What the answer's text says; a rating leads, and its text may contradict it."""
    if answer.text is None:
        return Words(None, mixed=False)
    sentiment = sentiment_of(answer.text)
    if answer.rating is None or answer.scale is None:
        return Words(sentiment, mixed=False)
    return Words(sentiment, contradicts(answer.kind, answer.rating, answer.scale, sentiment))


def reason_to_call(
    answer: Answer, words: Words, occurred_at: datetime, received_at: datetime
) -> Reason | None:
    """Why somebody must call after this answer, None when nobody must."""
    if received_at - occurred_at > OLDEST_TO_FOLLOW:
        return None
    sentiment = words.sentiment
    surely_negative = sentiment is not None and sentiment.label == "negative" and sentiment.confidence >= SURE
    return reason_of(answer, mixed=words.mixed, text_is_negative=surely_negative)
