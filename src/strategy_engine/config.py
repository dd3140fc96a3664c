"""Settings, read once from the environment under the names that operators know."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from strategy_engine.core.errors import InvalidError
from strategy_engine.infra import urls
from strategy_engine.infra.bus import broker, checks
from strategy_engine.infra.bus import model as bus_model
from strategy_engine.pipeline import imports
from strategy_engine.sandbox.model import ConfinementMode

STAGES = (
    "syntax_check",
    "unit_tests",
    "backtest",
    "paper_trading",
    "risk_validation",
    "performance_validation",
)

VETOES = ("off", "open", "closed")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Settings(BaseSettings):
    """Everything that can be set from outside. Times in seconds, memory in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="", frozen=True, extra="ignore", allow_inf_nan=False
    )

    data_dir: Path = Field(
        default=Path.home() / ".strategy-engine", validation_alias="STRATEGY_DATA_DIR"
    )
    catalogs: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), validation_alias="STRATEGY_CATALOG"
    )
    host: str = Field(default="127.0.0.1", validation_alias="STRATEGY_HOST")
    port: int = Field(default=8700, ge=0, le=65_535, validation_alias="STRATEGY_PORT")
    api_key: str | None = Field(
        default=None, min_length=16, repr=False, validation_alias="STRATEGY_API_KEY"
    )
    webhook_private: bool = Field(default=False, validation_alias="STRATEGY_WEBHOOK_PRIVATE")
    node_id: str = Field(
        default="local", pattern=r"^[A-Za-z0-9._-]{1,60}$", validation_alias="STRATEGY_NODE_ID"
    )
    log_json: bool = Field(default=False, validation_alias="STRATEGY_LOG_JSON")
    database_url: SecretStr | None = Field(
        default=None, repr=False, validation_alias="DATABASE_URL"
    )
    database_timeout_s: float = Field(
        default=10, gt=0, le=60, validation_alias="STRATEGY_DATABASE_TIMEOUT"
    )

    stages: Annotated[tuple[str, ...], NoDecode] = Field(
        default=STAGES, validation_alias="PIPELINE_STAGES"
    )
    pipeline_timeout_s: float = Field(default=300, gt=0, validation_alias="STRATEGY_TIMEOUT")
    max_concurrent_deployments: int = Field(
        default=5, ge=1, validation_alias="MAX_CONCURRENT_DEPLOYMENTS"
    )
    approval_required: bool = Field(default=False, validation_alias="DEPLOYMENT_APPROVAL_REQUIRED")
    auto_rollback: bool = Field(default=True, validation_alias="AUTO_ROLLBACK_ENABLED")
    max_memory_bytes: Annotated[int | None, NoDecode] = Field(
        default=None, validation_alias="STRATEGY_MAX_MEMORY"
    )
    max_cpu: float | None = Field(default=None, gt=0, validation_alias="STRATEGY_MAX_CPU")
    workers: int = Field(default=os.cpu_count() or 1, ge=1, validation_alias="STRATEGY_WORKERS")
    m4_max_optimized: bool = Field(default=False, validation_alias="M4_MAX_OPTIMIZED")

    sandbox: ConfinementMode = Field(
        default=ConfinementMode.REQUIRE, validation_alias="STRATEGY_SANDBOX"
    )
    child_memory_bytes: Annotated[int, NoDecode] = Field(
        default=256 << 20, validation_alias="STRATEGY_CHILD_MEMORY"
    )
    allowed_imports: Annotated[tuple[str, ...], NoDecode] = Field(
        default=imports.ALLOWED, validation_alias="STRATEGY_ALLOWED_IMPORTS"
    )
    decision_timeout_s: float = Field(default=5, gt=0, validation_alias="STRATEGY_DECISION_TIMEOUT")
    metrics_interval_s: float = Field(
        default=10, gt=0, validation_alias="STRATEGY_METRICS_INTERVAL"
    )
    replay_speed: float = Field(default=1, ge=0, validation_alias="STRATEGY_REPLAY_SPEED")

    redis_url: SecretStr | None = Field(default=None, repr=False, validation_alias="REDIS_URL")
    trader_id: str = Field(
        default=bus_model.Layout().trader_id,
        max_length=100,
        pattern=f"^{bus_model.TRADER_ID.pattern}$",
        validation_alias="TRADER_ID",
    )
    bus_encoding: bus_model.Encoding = Field(
        default=bus_model.Encoding.JSON, validation_alias="STRATEGY_BUS_ENCODING"
    )
    bus_stream_per_topic: bool = Field(
        default=True, validation_alias="STRATEGY_BUS_STREAM_PER_TOPIC"
    )
    bus_max_length: int = Field(default=100_000, ge=0, validation_alias="STRATEGY_BUS_MAXLEN")
    bus_keep_hours: float = Field(default=24, gt=0, validation_alias="STRATEGY_BUS_KEEP_HOURS")
    bus_data_stream: str | None = Field(
        default=None, min_length=1, max_length=200, validation_alias="STRATEGY_BUS_DATA_STREAM"
    )
    bus_command_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        repr=False,
        validation_alias="STRATEGY_BUS_COMMAND_SECRET",
    )
    bus_command_stream: str | None = Field(
        default=None, min_length=1, max_length=200, validation_alias="STRATEGY_BUS_COMMAND_STREAM"
    )

    risk_veto: str = Field(default=VETOES[0], validation_alias="RISK_VETO")
    risk_veto_deadline_ms: int = Field(
        default=250, ge=1, le=5_000, validation_alias="RISK_VETO_DEADLINE_MS"
    )

    @property
    def server(self) -> str | None:
        """The URL of the PostgreSQL database; None: SQLite files in the data directory."""
        return None if self.database_url is None else self.database_url.get_secret_value()

    @field_validator("database_url", mode="before")
    @classmethod
    def _check_database_url(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            return value
        return SecretStr(urls.checked_url(text)) if text.strip() else None

    @property
    def bus(self) -> broker.BusSettings:
        """How the bus is reached, laid out and read."""
        secret = self.bus_command_secret
        return broker.BusSettings(
            url=None if self.redis_url is None else self.redis_url.get_secret_value(),
            layout=bus_model.Layout(
                trader_id=self.trader_id,
                stream_per_topic=self.bus_stream_per_topic,
                encoding=self.bus_encoding,
                max_length=self.bus_max_length,
            ),
            keep_s=self.bus_keep_hours * 3_600,
            data_stream=self.bus_data_stream,
            command_stream=self.bus_command_stream,
            command_secret=None if secret is None else secret.get_secret_value(),
            checking=self._checking,
        )

    @property
    def _checking(self) -> checks.Checking | None:
        if self.risk_veto == VETOES[0]:
            return None
        return checks.Checking(
            is_open=self.risk_veto == "open", deadline_s=self.risk_veto_deadline_ms / 1_000
        )

    @field_validator("redis_url", mode="before")
    @classmethod
    def _check_redis_url(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            return value
        return SecretStr(urls.checked_redis_url(text)) if text.strip() else None

    @field_validator("bus_data_stream", "bus_command_stream")
    @classmethod
    def _needs_broker(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("redis_url") is None:
            raise ValueError("a stream to read from needs REDIS_URL")
        return value

    @field_validator("bus_command_stream")
    @classmethod
    def _needs_secret(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("bus_command_secret") is None:
            raise ValueError("commands are obeyed only with STRATEGY_BUS_COMMAND_SECRET set")
        return value

    @field_validator("risk_veto")
    @classmethod
    def _check_veto(cls, value: str, info: ValidationInfo) -> str:
        if value not in VETOES:
            raise ValueError(f"{value!r} is none of {', '.join(VETOES)}")
        if value != VETOES[0] and info.data.get("redis_url") is None:
            raise ValueError(f"{value!r} asks a risk engine over the bus, which needs REDIS_URL")
        if value != VETOES[0] and info.data.get("bus_command_secret") is None:
            raise ValueError(
                f"{value!r} hears only answers signed with STRATEGY_BUS_COMMAND_SECRET: set it"
            )
        return value

    @field_validator("catalogs", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(Path(each).expanduser() for each in value.split(os.pathsep) if each.strip())

    @field_validator("stages", mode="before")
    @classmethod
    def _split_stages(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        names = tuple(name.strip() for name in names if name.strip())
        unknown = [name for name in names if name not in STAGES]
        if unknown or not names:
            raise ValueError(f"unknown stages {unknown}; the stages are {', '.join(STAGES)}")
        return tuple(stage for stage in STAGES if stage in names)

    @field_validator("allowed_imports", mode="before")
    @classmethod
    def _read_modules(cls, value: Any) -> Any:
        return imports.parsed(value) if isinstance(value, str) else value

    @field_validator("max_memory_bytes", "child_memory_bytes", mode="before")
    @classmethod
    def _read_memory(cls, value: Any) -> Any:
        return memory_bytes(value) if isinstance(value, str) else value


def memory_bytes(text: str) -> int:
    """Return the bytes of `2g`, `2GiB`, `2Gi`, `512m` or a plain number.

    Raises
    ------
    ValueError
        If the text is none of these.
    """
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in "kmgt" else ""
    try:
        amount = float(number.removesuffix(unit))
    except ValueError:
        raise ValueError(f"{text!r} is no memory size; write it like 2g, 2GiB or 512m") from None
    if amount <= 0:
        raise ValueError(f"{text!r} must be more than nothing")
    return int(amount * _UNITS[unit])


def load(**overrides: Any) -> Settings:
    """Read the settings; a door's own options win over the environment.

    Raises
    ------
    InvalidError
        If one cannot be read; it names the variable, and never repeats a secret's value.
    """
    try:
        return Settings(**_by_alias(overrides))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise InvalidError(f"setting {name}: {first['msg']}", field=name) from None


def _by_alias(overrides: dict[str, Any]) -> dict[str, Any]:
    fields = Settings.model_fields
    return {
        str(fields[name].validation_alias): value
        for name, value in overrides.items()
        if value is not None
    }
