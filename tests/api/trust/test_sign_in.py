"""People sign in with a token of the shop's identity provider, and nobody else does."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.api import sign_in
from app.api.sign_in import SignIn
from app.domain.problems import Unauthenticated, Unavailable
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.test_problems import problem
from tests.api.trust.provider import AUDIENCE, EC_KEY, OTHER_KEY, RSA_KEY, Provider, public, running


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


def with_sign_in(settings: Settings, provider: Provider, **more: Any) -> Settings:
    said = {
        "oidc_issuer": provider.url,
        "oidc_audience": AUDIENCE,
        "oidc_scopes": "rapport-admins:admin,rapport-support:support,urn:shop:figures:insights:read",
    }
    return Settings.model_validate(settings.model_dump() | said | more)


@pytest.fixture
async def signed(settings: Settings, provider: Provider) -> AsyncIterator[Service]:
    """A service that takes the provider's tokens."""
    app = create_app(with_sign_in(settings, provider))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield Service(app, stack)


async def keys_with(service: Service, token: str) -> httpx.Response:
    return await (await service.client(token)).get("/v1/keys")


async def test_a_good_token_opens_what_its_claim_says(signed: Service, provider: Provider) -> None:
    assert (await keys_with(signed, provider.token())).status_code == 200
    support = await signed.client(provider.token(scope="rapport-support"))
    problem(await support.get("/v1/keys"), 403, "scope_missing")
    problem(await support.get("/v1/customers/external_id:1"), 404, "customer_not_found")
    figures = await signed.client(provider.token(scope=["urn:shop:figures"], sub="x"))
    assert (await figures.get("/metrics")).status_code == 200
    nothing = await signed.client(provider.token(scope="admin openid insights:read", sub="y"))
    problem(await nothing.get("/v1/keys"), 403, "scope_missing")


async def test_a_key_of_an_elliptic_curve_and_the_audience_in_a_list(
    signed: Service, provider: Provider
) -> None:
    token = provider.token(EC_KEY, kid="curve", algorithm="ES256", aud=["other", AUDIENCE])
    assert (await keys_with(signed, token)).status_code == 200


async def test_keys_go_on_beside_tokens(signed: Service) -> None:
    assert (await keys_with(signed, ADMIN_KEY)).status_code == 200


async def test_what_somebody_with_a_token_does_is_told_by_their_subject(
    signed: Service, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    person = await signed.client(provider.token(sub="ada|7"))
    made = (await person.post("/v1/keys", json={"preset": "support", "source": "desk"})).json()
    (deed,) = (await person.get("/v1/audit", params={"actor": "oidc:ada|7"})).json()["data"]
    assert (deed["action"], deed["target"]) == ("key_created", f"key:{made['id']}")
    await asyncio.sleep(0)
    log = capsys.readouterr().err
    assert "ada|7" not in log
    assert '"key_id": "oidc_' in log


def unsigned(provider: Provider) -> str:
    """`alg: none`, as the attack goes."""
    parts = provider.token().split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "first"}).encode()).rstrip(b"=")
    return f"{head.decode()}.{parts[1]}."


def by_hmac(provider: Provider) -> str:
    """Signed with the public key as an HMAC secret, as the attack goes."""
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, claims, _ = provider.token().split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).rstrip(b"=")
    del head
    message = forged + b"." + claims.encode()
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(message, pem)
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


BAD: dict[str, Any] = {
    "another issuer": lambda p: p.token(iss="https://evil.example"),
    "no issuer": lambda p: p.token(iss=None),
    "another audience": lambda p: p.token(aud="other"),
    "no audience": lambda p: p.token(aud=None),
    "expired": lambda p: p.token(exp=int(time.time()) - 60),
    "without an end": lambda p: p.token(exp=None),
    "not yet": lambda p: p.token(nbf=int(time.time()) + 120),
    "without a subject": lambda p: p.token(sub=None),
    "an empty subject": lambda p: p.token(sub=""),
    "a subject with a line break": lambda p: p.token(sub="a\nb"),
    "another key": lambda p: p.token(OTHER_KEY),
    "an unknown key": lambda p: p.token(OTHER_KEY, kid="other"),
    "no key id": lambda p: p.token(kid=None),
    "an algorithm that is not allowed": lambda p: p.token(algorithm="RS512"),
    "an algorithm of the family that the key is not for": lambda p: p.token(algorithm="PS256"),
    "critical headers": lambda p: p.token(headers={"crit": ["b64"], "b64": True}),
    "none": unsigned,
    "none with a signature": lambda p: unsigned(p) + "x",
    "HMAC": by_hmac,
    "cut": lambda p: p.token()[:-2],
    "another payload": lambda p: ".".join(
        (p.token().split(".")[0], p.token(sub="eve").split(".")[1], p.token().split(".")[2])
    ),
    "nonsense": lambda _: "a.b.c",
}


@pytest.mark.parametrize("name", BAD)
async def test_every_other_token_opens_nothing(signed: Service, provider: Provider, name: str) -> None:
    answer = await keys_with(signed, BAD[name](provider))
    assert answer.status_code == 401
    assert answer.json()["code"] in ("token_invalid", "key_invalid")
    assert "www-authenticate" in answer.headers
    assert (await keys_with(signed, provider.token())).status_code == 200


async def test_without_an_issuer_no_token_opens_anything(service: Service, provider: Provider) -> None:
    answer = await keys_with(service, provider.token())
    problem(answer, 401, "key_invalid")
    assert provider.asked == []


async def test_a_crowd_fetches_the_keys_once_and_strangers_seldom(
    signed: Service, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.pause_seconds = 0.1
    tokens = [provider.token(sub=f"person-{number}") for number in range(20)]
    answers = await asyncio.gather(*(keys_with(signed, token) for token in tokens))
    assert {answer.status_code for answer in answers} == {200}
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]
    for number in range(20):
        assert (await keys_with(signed, provider.token(OTHER_KEY, kid=f"k{number}"))).status_code == 401
    assert len(provider.asked) == 2
    # After the pause a new key is found, once.
    monkeypatch.setattr(sign_in, "PAUSE_SECONDS", 0.0)
    provider.publish(public("first", RSA_KEY), public("second", OTHER_KEY))
    assert (await keys_with(signed, provider.token(OTHER_KEY, kid="second"))).status_code == 200
    assert len(provider.asked) == 4


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def alone(settings: Settings, provider: Provider) -> AsyncIterator[tuple[SignIn, Clock]]:
    """Sign-in without a service, and its clock."""
    agreed = with_sign_in(settings, provider).sign_in_terms()
    assert agreed is not None
    clock = Clock()
    made = SignIn(agreed, clock=clock)
    yield made, clock
    await made.close()


async def test_known_keys_go_on_for_a_day_while_the_provider_is_away(
    alone: tuple[SignIn, Clock], provider: Provider
) -> None:
    people, clock = alone
    await people.caller(provider.token())
    provider.paths.clear()
    clock.now += sign_in.KEYS_SECONDS + 1
    assert (await people.caller(provider.token(sub="b"))).scopes
    assert people.provider.fetches == 2
    clock.now += sign_in.STALE_SECONDS
    with pytest.raises(Unavailable) as away:
        await people.caller(provider.token(sub="c"))
    assert away.value.code == "sign_in_unavailable"


async def test_a_key_that_was_withdrawn_opens_nothing_after_ten_minutes(
    alone: tuple[SignIn, Clock], provider: Provider
) -> None:
    people, clock = alone
    token = provider.token(exp=int(time.time()) + 7200)
    await people.caller(token)
    provider.publish(public("second", OTHER_KEY))
    clock.now += sign_in.KEYS_SECONDS + 1
    with pytest.raises(Unauthenticated):
        await people.caller(token)


HUGE = json.dumps({"keys": [], "filler": "x" * sign_in.MOST_BYTES}).encode()


@pytest.mark.parametrize(
    "status, body",
    [
        (500, b"{}"),
        (302, b""),
        (200, b"not json"),
        (200, b"[]"),
        (200, b"[" * 100_000),
        (200, HUGE),
        (200, b"{}"),
    ],
)
async def test_a_provider_that_answers_nonsense_is_as_good_as_away(
    alone: tuple[SignIn, Clock], provider: Provider, status: int, body: bytes
) -> None:
    provider.paths["/keys"] = (status, body)
    with pytest.raises(Unavailable):
        await alone[0].caller(provider.token())
    assert "/elsewhere" not in provider.asked


async def test_a_provider_that_does_not_answer_is_given_up(
    alone: tuple[SignIn, Clock], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "TIMEOUT_SECONDS", 0.2)
    provider.pause_seconds = 1
    with pytest.raises(Unavailable):
        await alone[0].caller(provider.token())
    provider.pause_seconds = 0


async def test_weak_shared_and_private_keys_in_the_set_are_nobodys_proof(
    alone: tuple[SignIn, Clock], provider: Provider
) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it must be refused
    secret = base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")
    private = {**jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_KEY, as_dict=True), "kid": "private"}
    provider.publish(
        public("weak", weak), {"kty": "oct", "k": secret, "kid": "shared", "alg": "HS256"}, private
    )
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        forged = provider.token(weak, kid="weak")
    for token in (forged, provider.token(b"s" * 32, kid="shared", algorithm="HS256")):
        with pytest.raises(Unauthenticated):
            await alone[0].caller(token)
    with pytest.raises(Unauthenticated):
        await alone[0].caller(provider.token(OTHER_KEY, kid="private"))


async def test_the_configuration_of_another_issuer_is_not_believed(
    alone: tuple[SignIn, Clock], provider: Provider
) -> None:
    about = {"issuer": "https://evil.example", "jwks_uri": f"{provider.url}/keys"}
    provider.paths["/.well-known/openid-configuration"] = (200, json.dumps(about).encode())
    with pytest.raises(Unavailable):
        await alone[0].caller(provider.token())
    assert "/keys" not in provider.asked


@pytest.mark.parametrize(
    "said, wrong",
    [
        ({"oidc_audience": ""}, "oidc_audience"),
        ({"oidc_scopes": ""}, "oidc_scopes"),
        ({"oidc_scopes": "everybody"}, "oidc_scopes"),
        ({"oidc_scopes": "everybody:publishable"}, "oidc_scopes"),
        ({"oidc_algorithms": "none"}, "oidc_algorithms"),
        ({"oidc_algorithms": "RS256,HS256"}, "oidc_algorithms"),
        ({"oidc_issuer": "http://login.example"}, "oidc_issuer"),
        ({"oidc_jwks_url": "http://login.example/keys"}, "oidc_jwks_url"),
    ],
)
def test_terms_that_would_let_the_wrong_in_stop_the_start(said: dict[str, str], wrong: str) -> None:
    whole = {
        "oidc_issuer": "https://login.example",
        "oidc_audience": "rapport",
        "oidc_scopes": "admins:admin",
    }
    assert Settings.model_validate(whole).sign_in_terms() is not None
    with pytest.raises(ValueError, match=wrong):
        Settings.model_validate(whole | said)
