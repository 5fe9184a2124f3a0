"""One answer: what it must hold, what makes it the same answer again, and which of several counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.domain.feedback.scales import Group, Scale, checked_rating, group_of, is_low, normalised, scale_for
from app.domain.problems import Conflict, Gone, NotFound, refused

LONGEST_TEXT: Final = 10_000
EDIT_WINDOW: Final = timedelta(hours=24)
SURVEY_SOURCE: Final = "survey"
"""The source of answers that came over an invitation's link."""


class NaturalKey(NamedTuple):
    """What makes an answer of one customer the same one again, for ever."""

    source: str
    source_id: str

    def touchpoint_id(self, revision: int = 1) -> str:
        """The id of the touchpoint that is written with the answer, so that a retry writes it once.

        An edited answer voids the touchpoint of the revision before and writes its own: the log is never changed.
        """
        return f"feedback:{self.source_id}" if revision == 1 else f"feedback:{self.source_id}:{revision}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer. `rating` and `scale` are None for a comment, `text` is None when nothing was written."""

    kind: str
    rating: int | None
    scale: Scale | None
    text: str | None
    public: bool = False
    threshold: int | None = None

    @property
    def group(self) -> Group | None:
        """Promoter and the like; None for a comment."""
        if self.rating is None or self.scale is None:
            return None
        return group_of(self.kind, self.rating, self.scale)

    @property
    def normalised(self) -> float | None:
        """The rating in [-1, 1]; None for a comment."""
        if self.rating is None or self.scale is None:
            return None
        return normalised(self.kind, self.rating, self.scale)

    @property
    def is_low(self) -> bool:
        """Whether the rating alone calls for a follow-up. A comment never does."""
        if self.rating is None or self.scale is None:
            return False
        return is_low(self.kind, self.rating, self.scale, self.threshold)


class Counting(NamedTuple):
    """What decides whether an answer counts. `survey` is None for an answer nobody asked for."""

    customer_id: UUID
    survey: str | None
    id: str
    at: datetime


def answer_of(
    kind: str,
    *,
    rating: object = None,
    scale: Mapping[str, Any] | None = None,
    text: str | None = None,
    public: bool = False,
    threshold: int | None = None,
) -> Answer:
    """A checked answer. `threshold`, a rating on the scale, is the survey's own border of what is low.

    Raises Invalid: `unknown_kind`, `invalid_scale`, `invalid_rating`, `property_required`, `text_too_long`,
    `not_a_review` (only reviews are public).
    """
    scaled = scale_for(kind, scale)
    words = None if text is None or not text.strip() else text
    if words is not None and len(words) > LONGEST_TEXT:
        raise refused("#/text", "text_too_long", f"must have at most {LONGEST_TEXT} characters")
    if public and kind != "review":
        raise refused("#/public", "not_a_review", "only a review can be public")
    if scaled is None:
        if rating is not None:
            raise refused("#/rating", "invalid_rating", "a comment has no rating")
        if words is None:
            raise refused("#/text", "property_required", "a comment needs words")
        return Answer(kind, None, None, words)
    if rating is None:
        raise refused("#/rating", "property_required", "this kind needs a rating")
    border = None if threshold is None else checked_rating(threshold, scaled)
    return Answer(kind, checked_rating(rating, scaled), scaled, words, public, border)


def natural_key(
    *, source: str, source_id: str | None, invitation_id: str | None, fresh_id: str
) -> NaturalKey:
    """The natural key of an answer: its invitation, else the caller's own id, else `fresh_id`, which no retry finds.

    An invitation comes first: it is answered once, whoever passes the answer on.
    """
    if invitation_id is not None:
        return NaturalKey(SURVEY_SOURCE, invitation_id)
    return NaturalKey(source, fresh_id if source_id is None else source_id)


def check_same(stored_digest: bytes, digest: bytes) -> None:
    """The same key came again: raises Conflict `id_reused` unless the body is the same too."""
    if stored_digest != digest:
        raise Conflict("id_reused", "This source_id was used before with other contents.")


def recipient(customer_id: UUID, *, merged_into: UUID | None, erased: bool) -> UUID:
    """Whose answer it is: after a merge that of the survivor. Raises Gone `erased` after an erasure."""
    if erased:
        raise gone()
    return customer_id if merged_into is None else merged_into


def gone() -> Gone:
    """The person whose answer it is was erased."""
    return Gone("erased", "This person's data were erased; nothing is stored about them.")


def answer_not_found() -> NotFound:
    """No such answer, whoever may have given it."""
    return NotFound("feedback_not_found", "There is no such answer.")


def check_editable(received_at: datetime, now: datetime) -> None:
    """An answer can be changed for 24 hours. Raises Conflict `answer_final`."""
    if now - received_at >= EDIT_WINDOW:
        raise answer_final()


def answer_final() -> Conflict:
    """It has stood for 24 hours."""
    return Conflict("answer_final", "An answer can be changed for 24 hours.")


def counted(answers: Iterable[Counting]) -> list[Counting]:
    """The answers of one window that figures count, oldest first: the latest of each customer and survey.

    All of them are kept. What nobody asked for counts each time: a second review is about a second purchase.
    """
    asked: dict[tuple[UUID, str], Counting] = {}
    unasked: list[Counting] = []
    for answer in sorted(answers, key=_age):
        if answer.survey is None:
            unasked.append(answer)
        else:
            asked[answer.customer_id, answer.survey] = answer
    return sorted((*asked.values(), *unasked), key=_age)


def _age(answer: Counting) -> tuple[datetime, str]:
    return answer.at, answer.id
