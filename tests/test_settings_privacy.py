from datetime import timedelta

import pytest
from pydantic import SecretStr, ValidationError

from app.domain.tombstones import UNGUARDED
from app.settings import Settings

SECRET = "s" * 32


@pytest.mark.parametrize(
    "secrets", ["", "short", f"K1:{SECRET}", f"k1:{SECRET[1:]}", f"k1:{SECRET},k1:{SECRET}"]
)
def test_a_key_of_tombstones_that_cannot_be_used_stops_the_start_and_is_not_repeated(secrets: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(erasure_secrets=SecretStr(secrets))
    assert SECRET not in str(raised.value)


def test_the_first_key_of_tombstones_writes() -> None:
    guard = Settings(erasure_secrets=SecretStr(f"e2:{SECRET},e1:{'o' * 32}")).guard()
    assert list(guard.secrets) == ["e2", "e1"]
    assert Settings().guard() == UNGUARDED


def test_retention_is_read_by_kind_and_a_wrong_one_stops_the_start() -> None:
    assert Settings(retention_days="visit:90").retention() == {"visit": timedelta(days=90)}
    assert Settings().retention() == {}
    with pytest.raises(ValidationError, match="between 60 and 36500"):
        Settings(retention_days="visit:1")
