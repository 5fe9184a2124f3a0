"""Counts behind the figures of feedback: one aggregate over one index, whatever the shop has been told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

import asyncpg

from app.domain.customers import SEGMENT_PREFIX
from app.domain.feedback.scales import Scale

GroupBy = Literal["survey", "channel", "agent", "tag", "segment", "day", "week", "month"]
BUCKETS: Final[frozenset[GroupBy]] = frozenset(("day", "week", "month"))


def _bucket(group_by: GroupBy, column: str) -> str:
    """The day, week or month of the zone in $4, named by its first day."""
    return f"to_char(date_trunc('{group_by}', {column} AT TIME ZONE $4::text), 'YYYY-MM-DD')"


# Joined to the customers of what is counted: who has three tags counts in three groups.
_NAMED: Final[Mapping[GroupBy | None, str]] = {
    "tag": "LEFT JOIN LATERAL unnest(c.tags) AS tag (name) ON true",
    "segment": f"""LEFT JOIN LATERAL (
      SELECT substr(held.tag, {len(SEGMENT_PREFIX) + 1})
      FROM unnest(c.tags) AS held (tag)
      WHERE starts_with(held.tag, '{SEGMENT_PREFIX}') AND held.tag <> '{SEGMENT_PREFIX}'
    ) AS tag (name) ON true""",  # noqa: S608 - a constant of the domain
}


class Span(NamedTuple):
    """Answers given from `start` on and before `end`."""

    start: datetime
    end: datetime


class Count(NamedTuple):
    """So many answers with this rating on this scale, in this group (None: without one, or not grouped)."""

    group: str | None
    scale: Scale
    rating: int
    answers: int


class InvitationCounts(NamedTuple):
    """What became of the invitations of a span; `suppressed` by reason."""

    sent: int
    bounced: int
    answered: int
    suppressed: Mapping[str, int]


_GROUPS: Final[Mapping[GroupBy | None, str]] = {
    None: "NULL::text",
    "survey": "f.survey",
    "channel": "f.channel",
    "agent": "f.attributed_to",
    # Joined afterwards.
    **dict.fromkeys(_NAMED, "NULL::text"),
    **{bucket: _bucket(bucket, "f.occurred_at") for bucket in BUCKETS},
}


def _statement(group_by: GroupBy | None) -> str:
    """Of what was asked the latest answer of each customer and survey counts, in each bucket of time once; of what
    nobody asked all do (domain.feedback.answers.counted).
    """
    group = _GROUPS[group_by]
    period = "f.kind = $1 AND f.rating IS NOT NULL AND f.occurred_at >= $2 AND f.occurred_at < $3"
    columns = f"f.customer_id, {group} AS bucket, f.scale_min, f.scale_max, f.direction, f.rating"
    once = "f.customer_id, f.survey" + (f", {group}" if group_by in BUCKETS else "")
    # OFFSET 0: else an index that is sorted by customer is walked to spare the sort, and with it the whole table.
    counted = f"""
      (
        SELECT DISTINCT ON ({once}) {columns}
        FROM (SELECT * FROM feedback f WHERE {period} AND f.survey IS NOT NULL OFFSET 0) f
        ORDER BY {once}, f.occurred_at DESC, f.id DESC
      )
      UNION ALL
      SELECT {columns}
      FROM feedback f
      WHERE {period} AND f.survey IS NULL"""  # noqa: S608 - constants of this module
    name, tags = "f.bucket", ""
    if group_by in _NAMED:
        name = "tag.name"
        tags = f"JOIN customers c ON c.id = f.customer_id {_NAMED[group_by]}"
    return f"""
    SELECT {name} AS bucket, f.scale_min, f.scale_max, f.direction, f.rating, count(*) AS answers
    FROM ({counted}
    ) f {tags}
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1 NULLS LAST, 2, 3, 4, 5
    """  # noqa: S608 - constants of this module


_STATEMENTS: Final[Mapping[GroupBy | None, str]] = {group: _statement(group) for group in _GROUPS}


async def counts(
    connection: asyncpg.Connection, kind: str, span: Span, group_by: GroupBy | None, zone: str
) -> list[Count]:
    """The counted answers of a kind by group, scale and rating. Days, weeks (from Monday) and months are those of
    `zone`, each named by its first day.
    """
    arguments = (kind, *span, zone) if group_by in BUCKETS else (kind, *span)
    rows = await connection.fetch(_STATEMENTS[group_by], *arguments)
    return [
        Count(
            row["bucket"],
            Scale(row["scale_min"], row["scale_max"], row["direction"]),
            row["rating"],
            row["answers"],
        )
        for row in rows
    ]


_INVITED: Final[Mapping[GroupBy | None, str]] = {
    None: "NULL::text",
    "survey": "i.survey",
    "channel": "i.channel",
    **dict.fromkeys(_NAMED, "tag.name"),
    **{bucket: _bucket(bucket, "i.created_at") for bucket in BUCKETS},
}


async def invitation_counts(
    connection: asyncpg.Connection, kind: str, span: Span, group_by: GroupBy | None, zone: str
) -> dict[str | None, InvitationCounts]:
    """What became of the invitations to surveys of this kind that were created in the span, by group.

    Under None stands the whole when nothing is grouped; invitations have no agents. A bucket of time is that of the
    invitation: of those invited in March so many answered, whenever they did.
    """
    if group_by not in _INVITED:
        return {}
    named = _NAMED.get(group_by)
    tags = "" if named is None else f"JOIN customers c ON c.id = i.customer_id {named}"
    arguments = (kind, *span, zone) if group_by in BUCKETS else (kind, *span)
    rows = await connection.fetch(
        f"""
        SELECT {_INVITED[group_by]} AS name, count(i.sent_at) AS sent,
          count(*) FILTER (WHERE i.state = 'bounced') AS bounced, count(i.answered_at) AS answered, i.suppressed_by,
          count(i.suppressed_by) AS suppressed
        FROM survey_invitations i {tags}
        WHERE i.kind = $1 AND i.created_at >= $2 AND i.created_at < $3
        GROUP BY 1, i.suppressed_by
        """,  # noqa: S608 - columns of this module
        *arguments,
    )
    found: dict[str | None, InvitationCounts] = {}
    for row in rows:
        was = found.get(row["name"], InvitationCounts(0, 0, 0, {}))
        by = {row["suppressed_by"]: row["suppressed"]} if row["suppressed_by"] is not None else {}
        found[row["name"]] = InvitationCounts(
            was.sent + row["sent"],
            was.bounced + row["bounced"],
            was.answered + row["answered"],
            {**was.suppressed, **by},
        )
    return found
