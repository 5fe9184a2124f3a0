"""What a survey is about: an order, a contact, or whatever the shop calls it; compared as one text."""

import json
from collections.abc import Mapping
from typing import Any, Final

from app.domain.canonical import canonical_json
from app.domain.descriptions import order_id_of
from app.domain.problems import refused

LONGEST: Final = 1000


def subject_key(about: str | Mapping[str, Any] | None) -> str | None:
    """The text by which two subjects are the same: canonical JSON. Raises Invalid `invalid_about`."""
    if about is None:
        return None
    key = (
        canonical_json(about).decode()
        if isinstance(about, Mapping)
        else json.dumps(about, ensure_ascii=False)
    )
    if len(key) > LONGEST:
        raise refused("#/about", "invalid_about", f"must have at most {LONGEST} characters")
    return key


def subject(key: str | None) -> Any:
    """What was meant by such a text: a text, or an object."""
    return None if key is None else json.loads(key)


def members(key: str | None) -> dict[str, Any] | None:
    """The same as an object, as answers hold it."""
    about = subject(key)
    if about is None or isinstance(about, dict):
        return about
    return {"reference": about}


def of_touchpoint(source: str, touchpoint_id: str, thread: str | None) -> str:
    """What a touchpoint that sets off a survey is about: its order, else itself."""
    order_id = order_id_of(thread)
    named = {"source": source, "touchpoint_id": touchpoint_id}
    return canonical_json(named if order_id is None else {"order_id": order_id}).decode()
