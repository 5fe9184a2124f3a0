"""What of a model is inside every stored state, and therefore of the release."""

import hashlib
import json
from dataclasses import asdict

from app.domain.health.form import SHIPPED
from app.domain.health.resolution import RESOLUTION
from app.domain.health.state import EMPTY, State

KEPT_IN = {
    "purchases_short": "n15",
    "purchases_middle": "n60",
    "purchases_long": "n240",
    "value": "m120",
    "refunds": "r240",
    "contacts": "con30",
    "complaints_resolved": "res45",
    "complaints": "c180",
    "satisfaction": "sn180",
    "engagement": "eng30",
    "advocacy": "adv365",
    "loyalty": "loy180",
}

# Stored form -> digest of the half-lives and resolutions that its integers were made with.
FORMS = {1: "71520214c266624f9a9261ecb6609c07d9e32379950f4dc2472e8fb3c158e3d9"}


def test_every_half_life_that_a_model_may_name_is_that_of_a_member_of_the_state() -> None:
    assert KEPT_IN.keys() == SHIPPED.half_lives.keys()
    for name, member in KEPT_IN.items():
        assert member in State._fields
        assert member == member.rstrip("0123456789") + str(SHIPPED.half_lives[name])


def test_other_half_lives_or_resolutions_are_another_stored_form() -> None:
    """Otherwise states from before and after a release would be added up, and nothing would notice.

    Where this fails: raise the version of the stored form, add its digest, and have the upgrade run `replay-state`.
    """
    numbers = json.dumps([SHIPPED.half_lives, asdict(RESOLUTION)], sort_keys=True)
    assert FORMS[EMPTY.encode()[0]] == hashlib.sha256(numbers.encode()).hexdigest()
