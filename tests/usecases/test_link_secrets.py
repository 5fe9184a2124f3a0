import pytest

from app.usecases.feedback.link_secrets import LinkSecrets, link_secrets

LONG = "x" * 32


def test_the_first_signs_and_all_are_read() -> None:
    assert link_secrets(f" b:{LONG}b , a:{LONG}:a,") == LinkSecrets(
        "b", {"b": f"{LONG}b".encode(), "a": f"{LONG}:a".encode()}
    )


@pytest.mark.parametrize("text", ["", LONG, "a:short", f"A:{LONG}", f"a:{LONG},a:{LONG}", f":{LONG}"])
def test_what_names_no_secret_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        link_secrets(text)
    assert LONG not in str(refused.value)
