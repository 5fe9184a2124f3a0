import pytest
from pydantic import ValidationError

from app.settings import Settings


def test_the_first_secret_signs_and_all_are_read() -> None:
    settings = Settings.model_validate({"link_secrets": f"k2:{'n' * 32}, k1:{'o' * 32}"})
    assert list(settings.signing_secrets().items()) == [("k2", b"n" * 32), ("k1", b"o" * 32)]
    assert Settings.model_validate({"public_url": "https://x.example/f/"}).public_url == "https://x.example/f"


@pytest.mark.parametrize(
    "wrong",
    [
        {"link_secrets": "k1:short"},
        {"link_secrets": "n" * 40},
        {"link_secrets": f"K1:{'n' * 32}"},
        {"link_secrets": f"k1:{'n' * 32},k1:{'o' * 32}"},
        {"household_pepper": "short"},
        {"public_url": "shop.example"},
    ],
)
def test_what_could_not_sign_stops_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)
