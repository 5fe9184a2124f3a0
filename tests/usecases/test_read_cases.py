"""Closed complaints as `rapport fit` reads them from the log."""

from datetime import timedelta

import pytest

from app.domain.health.form import SHIPPED
from app.domain.retention import parse
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.read_cases import read_cases
from app.usecases.post_touchpoints import post_touchpoints
from app.usecases.privacy.purge_log import purge_log
from tests.usecases.posts import NOW, post

CASE = {"properties": {"complaint_id": "c", "severity": "high"}}


@pytest.fixture
async def shop(identities: Identities, lanes: Lanes) -> None:
    """Three customers with a closed complaint each: the first bought again, the last was answered only lately."""
    posts = []
    for customer in "abc":
        who, closed = f"external_id:{customer}", 5 if customer == "c" else 60
        posts += [
            post(f"{customer}1", who, days_ago=100, told=False),
            post(f"{customer}2", who, "complaint_opened", days_ago=80, told=False, **CASE),
            post(f"{customer}3", who, "complaint_resolved", days_ago=closed, told=False, **CASE),
        ]
    posts.append(post("a4", "external_id:a", days_ago=50, told=False))
    posts.append(post("d1", "external_id:d", days_ago=50, told=False))
    answers = await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]


@pytest.mark.usefixtures("shop")
async def test_cases_are_the_closed_complaints_whose_horizon_has_passed(store: Database) -> None:
    cases = await read_cases(store, NOW, 30, SHIPPED)
    assert sorted((case.bought, case.state.n, case.state.open_sev) for case in cases) == [
        (False, 1, 0),
        (True, 1, 0),
    ]
    assert {case.at for case in cases} == {int((NOW - timedelta(days=60)).timestamp())}
    assert len(await read_cases(store, NOW, 30, SHIPPED, most=1)) == 1
    assert len(await read_cases(store, NOW, 3, SHIPPED)) == 3


@pytest.mark.usefixtures("shop")
async def test_who_was_purged_in_part_is_no_case(store: Database) -> None:
    purged = await purge_log(store, parse("purchase:95"), NOW + timedelta(days=100))
    assert purged.touchpoints
    assert await read_cases(store, NOW, 30, SHIPPED) == []
