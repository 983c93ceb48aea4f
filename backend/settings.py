"""Every setting, from the environment; read by entry points and `wiring` only."""

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.errors import BadSettings


def _env(*names: str, **kwargs: Any) -> Any:
    """A setting that is read from the first of these variables that is set."""
    return Field(validation_alias=AliasChoices(*names), **kwargs)


class Settings(BaseSettings):
    """Settings of the backend, the worker and the command line."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    profile: str = _env("RIS_PROFILE", default="base", description="Which models and method: demo, base, ….")
    device: str = _env("DEVICE", default="auto", description="Torch device: auto, cpu, cuda, cuda:1.")
    model_dir: Path | None = _env(
        "MODEL_DIR", default=None, description="Folder of weights; mount it to work without a network."
    )
    threads: int = _env("THREADS", default=2, ge=1, description="CPU threads of the worker.")
    top_k: int = _env("RIS_TOP_K", default=5, ge=1, le=20, description="Candidates kept with every answer.")

    host: str = _env(
        "HOST",
        default="127.0.0.1",
        description="Address the backend listens on; others than loopback need credentials.",
    )
    port: int = _env("PORT", default=9090, ge=0, le=65535, description="Port of the backend.")
    basic_auth_user: str | None = _env(
        "BASIC_AUTH_USER", default=None, description="User name that Label Studio sends."
    )
    basic_auth_pass: SecretStr | None = _env("BASIC_AUTH_PASS", default=None, description="Its password.")
    webhook_secret: SecretStr | None = _env(
        "WEBHOOK_SECRET", default=None, description="Bearer token of Label Studio's webhooks."
    )
    log_level: str = _env("LOG_LEVEL", default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    state_dir: Path = _env(
        "RIS_STATE_DIR", default=Path(".state"), description="Folder of the database, the cache, Redis and logs."
    )
    redis_url: str | None = _env("REDIS_URL", default=None, description="Redis; without it a private one is started.")
    database_url: str | None = _env(
        "DATABASE_URL", default=None, description="SQLAlchemy URL; without it SQLite in the state folder."
    )
    cache_bytes: int = _env("CACHE_BYTES", default=2 << 30, ge=0, description="Limit of the feature cache.")

    label_studio_url: str | None = _env(
        "LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", default=None, description="Label Studio's address."
    )
    label_studio_api_key: SecretStr | None = _env(
        "LABEL_STUDIO_API_KEY",
        "LABEL_STUDIO_ACCESS_TOKEN",
        default=None,
        description="Legacy token or personal access token.",
    )
    image_hosts: Annotated[tuple[str, ...], NoDecode] = _env(
        "IMAGE_HOSTS",
        default=(),
        description="Hosts, besides Label Studio's, that images may be fetched from; comma-separated.",
    )
    local_files_root: Path | None = _env(
        "LOCAL_FILES_DOCUMENT_ROOT",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
        default=None,
        description="Root of local files, if mounted here too.",
    )
    max_image_bytes: int = _env(
        "MAX_IMAGE_BYTES", default=50 << 20, ge=1, description="Largest image file that is fetched."
    )
    max_image_pixels: int = _env(
        "MAX_IMAGE_PIXELS", default=50_000_000, ge=1, description="Largest image that is decoded."
    )
    fetch_timeout_s: float = _env("FETCH_TIMEOUT", default=20.0, gt=0, description="Seconds to fetch one image.")

    predict_deadline_s: float = _env(
        "PREDICT_DEADLINE",
        default=90.0,
        gt=0,
        description="Seconds an interactive answer may take; Label Studio waits 100.",
    )
    max_queued: int = _env(
        "MAX_QUEUED", default=100, ge=1, description="Interactive requests that may wait; more are refused."
    )
    encode_ahead: int = _env(
        "ENCODE_AHEAD",
        default=5,
        ge=0,
        le=100,
        description="Tasks after an opened one whose images are encoded before they are opened; 0 for none.",
    )

    @field_validator("image_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip().lower() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"LOG_LEVEL is {value!r}; use DEBUG, INFO, WARNING or ERROR.")
        return value.upper()

    @cached_property
    def sql_url(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.state_dir.resolve() / 'ris.sqlite3'}"

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password that callers must give; None if they need not."""
        if not (self.basic_auth_user and self.basic_auth_pass):
            return None
        return self.basic_auth_user, self.basic_auth_pass.get_secret_value()

    @property
    def has_credentials(self) -> bool:
        """Whether callers must authenticate."""
        return self.credentials is not None

    @property
    def local_url(self) -> str:
        """The backend as this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"

    def check_host(self) -> None:
        """Refuse to listen to the world without credentials.

        Raises:
            BadSettings: If HOST is not loopback and no credentials are set.
        """
        if self.has_credentials or self.host == "localhost":
            return
        try:
            is_loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
            raise BadSettings(
                f"HOST is {self.host}, which others can reach.",
                "Set BASIC_AUTH_USER and BASIC_AUTH_PASS, or HOST=127.0.0.1.",
            )


def read_settings() -> Settings:
    """Settings from the environment and `.env`.

    Raises:
        BadSettings: If one has a value that cannot be used; names it and says what is expected.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise BadSettings(
            f"{name} has the value {first['input']!r}: {first['msg']}.", "See docs/settings.md."
        ) from error


def settings_table() -> str:
    """Every setting as a Markdown table: what the README shows."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for field in Settings.model_fields.values():
        assert isinstance(field.validation_alias, AliasChoices)
        name, *others = map(str, field.validation_alias.choices)
        also = f" (also `{'`, `'.join(others)}`)" if others else ""
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append(f"| `{name}`{also} | {default} | {field.description} |")
    return "\n".join(rows)
