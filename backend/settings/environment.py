"""Every setting, from the environment; read by entry points and `wiring` only."""

import ipaddress
import os
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.base import processes, redaction
from backend.base.errors import BadSettings
from backend.settings.values import (
    clean,
    read_bearer,
    read_database_url,
    read_host,
    read_http_url,
    read_login,
    read_name,
    read_redis_url,
    read_studio_url,
    read_token,
)


def _env(*names: str, **kwargs: Any) -> Any:
    """A setting that is read from the first of these variables that is set."""
    return Field(validation_alias=AliasChoices(*names), **kwargs)


DAY_S = 86_400.0
"""Seconds of the longest deadline."""
_ENV_FILE = ".env"
DEMO_FILE = "demo.env"
"""In the state folder: what `make demo` decides, so that commands find what it started."""

_READERS: Mapping[str, Callable[[str], str]] = {
    "basic_auth_user": read_login,
    "basic_auth_pass": read_login,
    "webhook_secret": read_bearer,
    "label_studio_api_key": read_token,
    "label_studio_url": read_studio_url,
    "redis_url": read_redis_url,
    "database_url": read_database_url,
}
"""What reads a setting's text, or says why it cannot be used."""


class Settings(BaseSettings):
    """Settings of the backend, the worker and the command line; whatever is secret among them is hidden from now on."""

    model_config = SettingsConfigDict(
        env_file=_ENV_FILE,
        env_file_encoding="utf-8-sig",  # some editors put a byte order mark at the beginning
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    profile: str | None = _env(
        "RIS_PROFILE",
        default=None,
        description="Profile: the models and the method, such as demo or base. Without it, one is chosen when a state folder is new: "
        "`base` on a machine with a GPU, else `cpu`. State folders of before keep `base`.",
    )
    parser: str | None = _env(
        "RIS_PARSER",
        default=None,
        description="spaCy pipeline that reads expressions instead of the profile's: name of an installed package, or a folder.",
    )
    device: str = _env("DEVICE", default="auto", description="Torch device, such as auto, cpu, cuda or cuda:1.")
    model_dir: Path | None = _env(
        "MODEL_DIR", default=None, description="Folder with the weights. With it, no network is needed."
    )
    model_mirrors: Annotated[tuple[str, ...], NoDecode] = _env(
        "MODEL_MIRRORS",
        default=(),
        description="Addresses of folders with weights, such as a MODEL_DIR on a web server, separated by commas. They are asked for "
        "downloads before the publishers.",
    )
    threads: int = _env("THREADS", default=2, ge=1, description="CPU threads of each worker.")
    top_k: int = _env("RIS_TOP_K", default=5, ge=1, le=20, description="How many candidates are kept with each answer.")

    host: str = _env(
        "HOST",
        default="127.0.0.1",
        description="Address on which the backend listens. One that other machines can reach needs BASIC_AUTH_USER and BASIC_AUTH_PASS.",
    )
    port: int = _env("PORT", default=9090, ge=0, le=65535, description="Port on which the backend listens.")
    basic_auth_user: str | None = _env(
        "BASIC_AUTH_USER", default=None, description="User name with which Label Studio logs in to the backend."
    )
    basic_auth_pass: SecretStr | None = _env(
        "BASIC_AUTH_PASS", default=None, description="Password with which Label Studio logs in to the backend."
    )
    webhook_secret: SecretStr | None = _env(
        "WEBHOOK_SECRET",
        default=None,
        description="Token that Label Studio's webhooks must send (Authorization: Bearer).",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = _env(
        "ALLOWED_HOSTS",
        default=(),
        description="Host names by which the backend may be called, separated by commas; `*` allows any. Without it: the names of this "
        "machine if no login is set, else any.",
    )
    review_pages: bool | None = _env(
        "REVIEW_PAGES",
        default=None,
        description="Whether the backend serves the pages of quality review at /ui. Without it: only if HOST is loopback.",
    )
    review_access: Path | None = _env(
        "REVIEW_ACCESS",
        default=None,
        description="File that names the people of the pages, their roles and passwords, and the proxy that signs them in. Without it, "
        "whoever signs in with BASIC_AUTH_USER and BASIC_AUTH_PASS is a lead.",
    )
    log_level: str = _env(
        "LOG_LEVEL", default="INFO", description="Least severe messages in the log: DEBUG, INFO, WARNING or ERROR."
    )

    state_dir: Path = _env(
        "RIS_STATE_DIR", default=Path(".state"), description="Folder for the database, the caches, Redis and logs."
    )
    redis_url: str | None = _env(
        "REDIS_URL", default=None, repr=False, description="URL of Redis. Without it, a private Redis is started."
    )
    database_url: str | None = _env(
        "DATABASE_URL",
        default=None,
        repr=False,
        description="URL of the database, as SQLAlchemy takes it. Without it, a SQLite file in the state folder.",
    )
    cache_bytes: int = _env(
        "CACHE_BYTES", default=2 << 30, ge=0, description="Most bytes of encoded images on disk, about 0.5 MB each."
    )
    click_cache_bytes: int = _env(
        "CLICK_CACHE_BYTES",
        default=1 << 30,
        ge=0,
        description="Most bytes on disk of what clicks and boxes are answered from, about 2 MB for each image.",
    )
    open_cache_bytes: int = _env(
        "OPEN_CACHE_BYTES",
        default=256 << 20,
        ge=0,
        description="Memory of each worker for the encoded images that were used last. Further expressions on them read no file.",
    )

    label_studio_url: str | None = _env(
        "LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", default=None, description="URL of Label Studio."
    )
    label_studio_api_key: SecretStr | None = _env(
        "LABEL_STUDIO_API_KEY",
        "LABEL_STUDIO_ACCESS_TOKEN",
        default=None,
        description="Access token of Label Studio: a legacy token or a personal access token.",
    )
    image_hosts: Annotated[tuple[str, ...], NoDecode] = _env(
        "IMAGE_HOSTS",
        default=(),
        description="Other hosts than Label Studio's from which images may be fetched, separated by commas.",
    )
    local_files_root: Path | None = _env(
        "LOCAL_FILES_DOCUMENT_ROOT",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
        default=None,
        description="Root folder of Label Studio's local files, if this machine can read it.",
    )
    max_image_bytes: int = _env(
        "MAX_IMAGE_BYTES",
        default=50 << 20,
        ge=1,
        description="Size of the largest image file that is fetched, in bytes.",
    )
    max_image_pixels: int = _env(
        "MAX_IMAGE_PIXELS",
        default=50_000_000,
        ge=1,
        description="Size of the largest image that is decoded, in pixels.",
    )
    fetch_timeout_s: float = _env(
        "FETCH_TIMEOUT", default=20.0, gt=0, le=DAY_S, description="Seconds that fetching one image may take."
    )

    predict_deadline_s: float = _env(
        "PREDICT_DEADLINE",
        default=90.0,
        gt=0,
        le=DAY_S,
        description="Seconds that an answer to an annotator may take. Label Studio waits 100.",
    )
    max_queued: int = _env(
        "MAX_QUEUED", default=100, ge=1, description="How many requests of annotators may wait. More are refused."
    )
    encode_ahead: int = _env(
        "ENCODE_AHEAD",
        default=5,
        ge=0,
        le=100,
        description="Tasks after an opened one whose images are encoded before they are opened; 0 for none.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any, info: ValidationInfo) -> Any:
        """Texts as they were meant; of a setting that may be unset, an empty one is."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            return value
        cleaned = clean(text)
        is_unset = not cleaned and cls.model_fields[str(info.field_name)].default is None
        return None if is_unset else cleaned

    @field_validator(*_READERS)
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        read = _READERS[str(info.field_name)]
        if isinstance(value, SecretStr):
            return SecretStr(read(value.get_secret_value()))
        return value and read(value)

    @field_validator("image_hosts", "allowed_hosts", "model_mirrors", mode="before")
    @classmethod
    def _split(cls, value: object, info: ValidationInfo) -> object:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            return value
        read = {"image_hosts": read_host, "model_mirrors": read_http_url}.get(str(info.field_name), read_name)
        return tuple(read(clean(part)) for part in parts if clean(part))

    @field_validator("host")
    @classmethod
    def _bare_host(cls, value: str) -> str:
        host = value.removeprefix("[").removesuffix("]")
        if "/" in host or (":" in host and not _is_ip(host)):
            raise ValueError("give an address or a name alone; PORT is a setting of its own")
        return host

    @field_validator("basic_auth_user")
    @classmethod
    def _without_colon(cls, value: str | None) -> str | None:
        if value and ":" in value:
            raise ValueError('there is a ":" in it, at which a login is cut apart')
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"LOG_LEVEL is {value!r}; use DEBUG, INFO, WARNING or ERROR.")
        return value.upper()

    def model_post_init(self, _context: Any) -> None:
        """Have the secrets hidden from whatever this process says."""
        login = redaction.login_of(*self.credentials) if self.credentials else ()
        keys = (self.webhook_secret, self.label_studio_api_key)
        redaction.learn(
            [*login, *(key.get_secret_value() for key in keys if key)],
            [self.redis_url, self.database_url, self.label_studio_url],
        )

    @property
    def component_overrides(self) -> dict[str, str]:
        """What replaces the parts of every profile, for `ris_core.load_segmenter`."""
        return {"parser": self.parser} if self.parser else {}

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

    @property
    def serves_pages(self) -> bool:
        """Whether the pages of quality review are served."""
        return is_loopback(self.host) if self.review_pages is None else self.review_pages

    def check_login(self) -> None:
        """Refuse half a login, which would be none.

        Raises:
            BadSettings: If only one of user and password is set.
        """
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise BadSettings("Only one of BASIC_AUTH_USER and BASIC_AUTH_PASS is set.", "Set both, or none.")

    def check_host(self) -> None:
        """Refuse to listen to the world without credentials.

        Raises:
            BadSettings: If HOST is not loopback and no credentials are set, or half of them.
        """
        self.check_login()
        if self.has_credentials or is_loopback(self.host):
            return
        raise BadSettings(
            f"HOST is {self.host}, which others can reach.",
            "Set BASIC_AUTH_USER and BASIC_AUTH_PASS, or HOST=127.0.0.1.",
        )


def read_settings() -> Settings:
    """Settings from the environment and `.env`; of a demo that runs in the state folder, what neither says.

    Raises:
        BadSettings: If one has a value that cannot be used; names it and says what is expected.
    """
    try:
        settings = complete(Settings())
    except ValidationError as error:
        wrong, remedy = _problem_of(error), "See docs/engineers/settings.md."
    except (OSError, UnicodeError) as error:
        wrong, remedy = problem_of_file(error)
    else:
        settings.check_login()
        return settings
    raise BadSettings(wrong, remedy)  # out here: the errors above hold values, which a traceback would show


def complete(settings: Settings) -> Settings:
    """The settings, with those of the demo that runs in the state folder where it is meant."""
    demo = find_demo(settings)
    if demo is None:
        return settings
    return Settings(_env_file=(demo, _ENV_FILE))  # type: ignore[call-arg]  # pydantic-settings takes it, mypy sees fields only


def find_demo(settings: Settings) -> Path | None:
    """The settings of the demo whose Label Studio runs with this state folder; None where another Label Studio is set."""
    file = settings.state_dir / DEMO_FILE
    studio = processes.find("label-studio", settings.state_dir)
    is_up = settings.label_studio_url is None and file.is_file() and studio is not None and studio.is_running
    return file if is_up else None


def problem_of_file(error: OSError | UnicodeError) -> tuple[str, str]:
    """Why `.env` cannot be read, and what to do."""
    file = Path(str(Settings.model_config["env_file"])).absolute()
    if isinstance(error, UnicodeDecodeError):
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        return f"{file} is not UTF-8 (line {line}).", "Save it as UTF-8, or work in another folder."
    return f"{file} cannot be read ({redaction.reason_of(error)}).", "Make it readable, or work in another folder."


def says_what_is_wrong(message: str) -> str:
    """The words of a validation error without what pydantic puts before them."""
    return message.removeprefix("Value error, ")


def is_secret(name: str) -> bool:
    """Whether a setting's value must never be shown, by the name of its field."""
    return SecretStr in typing.get_args(Settings.model_fields[name].annotation)


def is_loopback(host: str) -> bool:
    """Whether an address or name is of this machine only."""
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def variable_of(place: tuple[int | str, ...]) -> str:
    """First variable of the setting that a validation error is about; "" if it is about none."""
    field_name = str(place[0]) if place else ""
    aliases_by_field = ((name, aliases_of(field)) for name, field in Settings.model_fields.items())
    return next((aliases[0] for name, aliases in aliases_by_field if field_name in (name, *aliases)), "")


def aliases_of(field: FieldInfo) -> list[str]:
    """The variables that a setting is read from."""
    assert isinstance(field.validation_alias, AliasChoices)
    return [str(name) for name in field.validation_alias.choices]


def _problem_of(error: ValidationError) -> str:
    """The first thing that is wrong with the settings, in one line that names the setting as it was given."""
    first = error.errors()[0]
    variable, says = variable_of(first["loc"]), says_what_is_wrong(first["msg"])
    for name, field in Settings.model_fields.items():
        if variable in (aliases := aliases_of(field)):
            alias_set = next((alias for alias in aliases if alias in os.environ), variable)
            if is_secret(name) or redaction.may_be_token(str(first["input"])):
                return f"{alias_set} cannot be used: {says}."
            value = redaction.mask_url(str(first["input"]))[:200]
            return f"{alias_set} has the value {value!r}: {says}."
    return f"The settings cannot be used: {says}."


def settings_table() -> str:
    """Every setting as a Markdown table: what the README shows."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for field in Settings.model_fields.values():
        name, *others = aliases_of(field)
        also = f" (also `{'`, `'.join(others)}`)" if others else ""
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append(f"| `{name}`{also} | {default} | {field.description} |")
    return "\n".join(rows)
