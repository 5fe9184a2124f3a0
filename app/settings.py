"""The one place that reads the environment: RAPPORT_* variables, frozen once the process has started."""

import zoneinfo
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain import keys, money
from app.usecases.feedback.link_secrets import link_secrets


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
    admin_key: SecretStr | None = Field(
        None,
        description="An admin key for scripted starts, made by `rapport keys new`. A malformed one stops the start.",
    )
    link_secrets: SecretStr | None = Field(
        None,
        description="Secrets that sign the links customers get, as `key-id:secret` with commas between; the first "
        "signs, all are read. Empty: no links.",
    )
    shop_currency: str = Field(
        "EUR",
        description="ISO 4217 code in which the shop reports; other currencies need an `exchange_rate`.",
    )
    shop_time_zone: str = Field(
        "UTC",
        description="IANA name of the zone in which the shop's days begin, for figures by day, week or month.",
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
        10.0, gt=0, description="Longest single SQL statement; the client gives up one second later."
    )
    lanes: int = Field(
        2,
        ge=1,
        le=32,
        description="Writers of the write path per process, a power of two; one connection each.",
    )
    lane_queue: int = Field(4096, ge=1, description="Touchpoints that may wait for one lane; beyond it: 503.")
    group_size: int = Field(500, ge=1, le=2500, description="Most touchpoints in one shared transaction.")
    sweep_seconds: float = Field(
        30.0,
        ge=0,
        le=60,
        description="How often the bands of silent customers are drawn anew; 0: not here, `rapport worker` does it.",
    )
    identity_cache: int = Field(100_000, ge=0, description="Identifiers remembered per process.")

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
        if value not in zoneinfo.available_timezones():
            raise ValueError("not an IANA time zone, such as Europe/Berlin")
        return value

    @field_validator("admin_key")
    @classmethod
    def _well_formed_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not keys.is_well_formed(value.get_secret_value()):
            raise ValueError("malformed: `rapport keys new` prints a well-formed one")
        return value

    @field_validator("link_secrets")
    @classmethod
    def _readable_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            link_secrets(value.get_secret_value())
        return value

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
