"""The one place that reads the environment: RAPPORT_* variables, frozen once the process has started."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain import keys, money, retention
from app.domain.admission import Admission
from app.domain.identifiers import IdentifierRules, email_key
from app.domain.networks import Network, networks
from app.domain.signing_in import Terms, terms
from app.domain.tombstones import Guard
from app.domain.zones import zone_names

_LEAST_SECRET = 32


def _parse_secrets(text: str) -> dict[str, bytes]:
    """`key_id:secret` with commas between. ValueError says what is wrong without repeating any of it."""
    found: dict[str, bytes] = {}
    for part in text.split(","):
        key_id, colon, secret = part.strip().partition(":")
        if not colon or not re.fullmatch(r"[a-z0-9]{1,16}", key_id, re.ASCII) or key_id in found:
            raise ValueError("not `key_id:secret`, with key ids of 1 to 16 of a-z and 0-9, each once")
        if len(secret.encode()) < _LEAST_SECRET:
            raise ValueError(f"a secret must have at least {_LEAST_SECRET} characters")
        found[key_id] = secret.encode()
    return found


class Settings(BaseSettings):
    """Everything a deployment can choose. Each field is the environment variable RAPPORT_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="RAPPORT_",
        frozen=True,
        extra="ignore",
        # What a compose file or a unit passes on without a value counts as not set.
        env_ignore_empty=True,
    )

    home: Path = Field(Path(".rapport"), description="Folder of the embedded PostgreSQL.")
    database_url: str | None = Field(
        None,
        description="PostgreSQL >= 15, as `postgresql://user:password@host/name`. Empty: `migration_url`, and without "
        "that the embedded server.",
    )
    migration_url: str | None = Field(
        None,
        description="The same database as a role that may change the schema and create roles. Empty: `database_url`.",
    )
    read_url: str | None = Field(
        None,
        description="A read replica, which may lag, for figures, shop-wide lists and trials of models. "
        "Empty: `database_url`.",
    )
    read_pool_size: int = Field(4, ge=1, le=64, description="Connections to `read_url`, per process.")
    admin_key: SecretStr | None = Field(
        None,
        description="An admin key for scripted starts, made by `rapport keys new`. A malformed one stops the start.",
    )
    shop_currency: str = Field(
        "EUR",
        description="ISO 4217 code in which the shop reports; other currencies need an `exchange_rate`.",
    )
    public_url: str | None = Field(
        None,
        description="Where customers reach this service, as `https://feedback.shop.example`; links begin with it. "
        "Empty: the address that the caller of the API used.",
    )
    link_secrets: SecretStr | None = Field(
        None,
        description="What signs links: `key_id:secret`, several with commas between; the first signs, all are read. "
        "A secret has at least 32 characters. Empty: one that the database keeps.",
    )
    household_pepper: SecretStr | None = Field(
        None,
        description="What hides the households of surveys in the database; changing it forgets them. "
        "Empty: one that the database keeps.",
    )
    erasure_secrets: SecretStr | None = Field(
        None,
        description="What hides the identifiers of erased people, so that nobody imports them again: `key_id:secret`, "
        "several with commas between; the first writes, all are read. A secret has at least 32 characters. Empty: they "
        "are not remembered.",
    )
    retention_days: str = Field(
        "",
        description="After how many days touchpoints of a kind are purged: `visit:400,message_opened:90`, at least "
        "60 each. A kind that is not named is kept.",
    )
    text_retention_days: int = Field(
        0,
        ge=0,
        le=retention.MOST_DAYS,
        description="After how many days the words of answers and of closed complaints are blanked, at least 60; "
        "0: they are kept.",
    )
    shop_time_zone: str = Field(
        "UTC",
        description="IANA name of the zone in which the shop's days begin, for figures by day, week or month.",
    )
    follow_up_owner: str | None = Field(
        None,
        max_length=200,
        description="Who follows up on a bad answer when nobody looks after the customer, or the answer is about who "
        "does. Empty: nobody, until somebody takes it.",
    )
    log_level: str = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR; logs are JSON lines on stderr."
    )

    pool_size: int = Field(
        8, ge=2, le=64, description="Connections for reads and single transactions, per process."
    )
    pool_wait_seconds: float = Field(
        5.0, gt=0, description="How long a request waits for a free connection (then 503)."
    )
    statement_timeout_seconds: float = Field(
        10.0,
        gt=0,
        description="Longest single SQL statement; the client gives up one second later. The server ends a transaction "
        "with which nobody goes on for half as long.",
    )
    pgbouncer: bool = Field(
        False,  # noqa: FBT003 - a field's default
        description="`1` where `database_url` leads to PgBouncer in transaction mode: nothing is kept between "
        "transactions. Migrations then need `migration_url`, past it.",
    )
    lanes: int = Field(
        2,
        ge=1,
        le=32,
        description="Writers of the write path per process, a power of two; one connection each.",
    )
    lane_queue: int = Field(4096, ge=1, description="Touchpoints that may wait for one lane; beyond it: 503.")
    group_size: int = Field(500, ge=1, le=2500, description="Most touchpoints in one shared transaction.")
    awake_ms: float = Field(
        4.0,
        ge=0,
        le=20,
        description="How long, in milliseconds, a process stays awake for the database's answer to a lone post instead "
        "of sleeping until it comes; 0: not at all. Only where there are several processors.",
    )
    huge_pages: bool = Field(
        default=True,
        description="`0`: leave the memory of the service in small pages. Huge ones are faster, need Linux 6.1, and "
        "workers share none of them.",
    )
    sweep_seconds: float = Field(
        30.0,
        ge=0,
        le=60,
        description="How often the bands of silent customers are drawn anew; 0: not here, `rapport worker` does it.",
    )
    most_identifiers: int = Field(
        100,
        ge=1,
        le=1000,
        description="Identifiers that one customer may go by; a merge or a new one beyond it is refused.",
    )
    blocked_identifiers: str = Field(
        "unknown,none,null,undefined,anonymous,guest,test,test@*,noreply@*,no-reply@*",
        description="Values, with commas between, that name nobody and are refused as identifiers; `*` is anything.",
    )
    most_merged_touchpoints: int = Field(
        50_000,
        ge=1,
        description="Touchpoints that a merge moves in its one transaction; of whom there are more is not merged away.",
    )
    simulation_seconds: float = Field(
        20.0,
        gt=0,
        le=300,
        description="How long a draft of loyalty rules is tried on the log before the answer says how far it came.",
    )
    identity_cache: int = Field(
        100_000,
        ge=0,
        description="Identifiers remembered per process; from the start those of the newest customers.",
    )

    rate_per_minute: int = Field(
        1_200_000,
        ge=0,
        le=keys.MOST_PER_MINUTE,
        description="Requests and items of batches a minute for each key without a rate of its own; that of ten "
        "seconds may come at once. 0: no limit.",
    )
    trusted_proxies: str = Field(
        "",
        description="Networks of your own proxies with commas between, as `10.0.0.0/8,2001:db8::1`: only their "
        "X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    behind_tls: bool = Field(
        default=False, description="Everybody reaches this service by TLS: browsers are told to insist on it."
    )
    hsts_seconds: int = Field(
        31_536_000, ge=0, description="For how long browsers that came by TLS insist on it; 0: not told."
    )

    oidc_issuer: str | None = Field(
        None,
        description="Who signs the tokens that people sign in with, as the claim `iss`. Empty: only keys open the API.",
    )
    oidc_audience: str | None = Field(None, description="What the claim `aud` of those tokens must hold.")
    oidc_jwks_url: str | None = Field(
        None,
        description="Where the issuer's keys are; empty: as its `/.well-known/openid-configuration` says.",
    )
    oidc_algorithms: str = Field(
        "RS256,ES256", description="Algorithms that a token may be signed with, with commas between."
    )
    oidc_scope_claim: str = Field(
        "scope", description="The claim that is mapped to scopes: a text or a list."
    )
    oidc_scopes: str = Field(
        "",
        description="What the values of that claim give: `value:preset` or `value:scope`, with commas between. "
        "Other values give nothing.",
    )

    max_connections: int = Field(
        1000, ge=1, description="Open client connections per process; more are refused."
    )
    request_timeout_seconds: float = Field(
        30.0, gt=0, description="A client must have sent its headers and body within this time."
    )
    drain_seconds: float = Field(20.0, gt=0, description="How long a stop waits for requests under way.")

    @field_validator("shop_currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        if value not in money.EXPONENTS:
            raise ValueError("not an ISO 4217 currency code")
        return value

    @field_validator("shop_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zone_names():
            raise ValueError("not an IANA time zone, such as Europe/Berlin")
        return value

    @field_validator("admin_key")
    @classmethod
    def _well_formed_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not keys.is_well_formed(value.get_secret_value()):
            raise ValueError("malformed: `rapport keys new` prints a well-formed one")
        return value

    @field_validator("public_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
            raise ValueError("not an address like https://feedback.shop.example")
        return None if value is None else value.rstrip("/")

    @field_validator("retention_days")
    @classmethod
    def _retention_days(cls, value: str) -> str:
        retention.parse(value)
        return value

    @field_validator("text_retention_days")
    @classmethod
    def _text_retention_days(cls, value: int) -> int:
        if 0 < value < retention.LEAST_DAYS:
            raise ValueError(f"must be 0 or at least {retention.LEAST_DAYS}")
        return value

    @field_validator("link_secrets", "erasure_secrets")
    @classmethod
    def _secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _parse_secrets(value.get_secret_value())
        return value

    @field_validator("household_pepper")
    @classmethod
    def _long_pepper(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _LEAST_SECRET:
            raise ValueError(f"must have at least {_LEAST_SECRET} characters")
        return value

    def identifier_rules(self) -> IdentifierRules:
        """What keeps one name from standing for many people."""
        blocked = tuple(
            email_key(part.strip()) for part in self.blocked_identifiers.split(",") if part.strip()
        )
        return IdentifierRules(self.most_identifiers, blocked)

    def signing_secrets(self) -> dict[str, bytes]:
        """The secrets of links by their key ids, the one that signs first; empty when none is set."""
        return {} if self.link_secrets is None else _parse_secrets(self.link_secrets.get_secret_value())

    def guard(self) -> Guard:
        """The keys of the tombstones; none when none is set."""
        return Guard(
            {} if self.erasure_secrets is None else _parse_secrets(self.erasure_secrets.get_secret_value())
        )

    def admission(self) -> Admission:
        """What an identifier has to pass before it becomes a customer's."""
        return Admission(self.identifier_rules(), self.guard())

    def retention(self) -> retention.Retention:
        """How long touchpoints are kept, by kind."""
        return retention.parse(self.retention_days)

    def text_retention(self) -> timedelta | None:
        """How long words are kept; None: for ever."""
        return timedelta(days=self.text_retention_days) if self.text_retention_days else None

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        try:
            networks(filter(None, value.split(",")))
        except ValueError:
            raise ValueError("not networks like 10.0.0.0/8,2001:db8::1 (no host bits)") from None
        return value

    def proxy_networks(self) -> tuple[Network, ...]:
        """The networks of trusted proxies."""
        return networks(filter(None, self.trusted_proxies.split(",")))

    @model_validator(mode="after")
    def _whole_sign_in(self) -> Self:
        self.sign_in_terms()
        return self

    def sign_in_terms(self) -> Terms | None:
        """On which terms tokens are taken; None: not at all. ValueError says what is missing or wrong."""
        if self.oidc_issuer is None:
            return None
        return terms(
            issuer=self.oidc_issuer,
            audience=self.oidc_audience or "",
            jwks_url=self.oidc_jwks_url,
            algorithms=self.oidc_algorithms,
            scope_claim=self.oidc_scope_claim,
            scopes=self.oidc_scopes,
        )

    @field_validator("lanes")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = value.upper()
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level
