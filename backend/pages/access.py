"""Who may do what on the pages: the people that a file names, each with a role, and the proxy that says who somebody is."""

import hashlib
import hmac
import secrets
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from backend.base.errors import BadSettings
from backend.base.redaction import learn, reason_of
from ris_core.errors import BadInput

Role = Literal["viewer", "reviewer", "lead"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may: a viewer reads, a reviewer decides regions, a lead approves in bulk and changes runs."""
SETTING = "REVIEW_ACCESS"
LEAST_SECRET = 16
"""Characters of the proxy's secret."""
LEAST_PASSWORD = 8
LONGEST_PASSWORD = 1000
"""Characters of a password."""

_N, _R, _P = 1 << 14, 8, 1
"""Cost of scrypt: 16 MiB and some 50 ms for each password that is tried."""
_MEMORY = 64 << 20
_KEY_BYTES = 64
_NOBODYS = f"scrypt:{b64encode(b'nobody').decode()}:{b64encode(bytes(_KEY_BYTES)).decode()}"
"""Of no password. A name that is not there is compared with it, so that it takes as long."""
_REMEDY = 'See "Roles" in docs/leads/review.md.'
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Person(BaseModel):
    """Somebody who may sign in.

    Attributes:
        password: As `hash_password` writes it; None of whoever only comes through the proxy.
        number: In Label Studio; None if the e-mail address is looked up there.
    """

    model_config = _STRICT

    role: Role
    password: str | None = None
    number: int | None = Field(default=None, gt=0, lt=2**63)

    @field_validator("password")
    @classmethod
    def _is_hash(cls, value: str | None) -> str | None:
        if value is not None and _read_hash(value) is None:
            raise ValueError("it is not what `ris review password` prints")
        return value


class Proxy(BaseModel):
    """A proxy that signs people in.

    Attributes:
        secret: What it sends in `secret_header`. Whoever sends it is believed.
        user_header: Has the name of the person.
        role_header: Has the role of people whom the file does not name; without it they are refused.
    """

    model_config = _STRICT

    secret: str = Field(min_length=LEAST_SECRET)
    secret_header: str = "X-RIS-Proxy-Secret"
    user_header: str
    role_header: str | None = None


class Access(BaseModel):
    """Who may do what."""

    model_config = _STRICT

    people: Mapping[str, Person] = {}
    proxy: Proxy | None = None

    @field_validator("people")
    @classmethod
    def _fold(cls, people: Mapping[str, Person]) -> Mapping[str, Person]:
        folded = {_fold(name): person for name, person in people.items()}
        if len(folded) < len(people):
            raise ValueError("somebody is named twice; upper and lower case are the same name")
        return folded

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Self:
        if not self.people and not (self.proxy and self.proxy.role_header):
            raise ValueError("nobody is named, so nobody could sign in")
        return self

    @property
    def fingerprint(self) -> str:
        """Another one after any change."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def asks_password(self) -> bool:
        """Whether anybody can sign in with a password."""
        return any(person.password for person in self.people.values())

    def find(self, name: str) -> Person | None:
        """The person of a name; None if the file has none."""
        return self.people.get(_fold(name))

    def sign_in(self, name: str, password: str) -> Person | None:
        """The person of a name with this password; None if there is none. Takes as long for names that are not there."""
        person = self.find(name)
        is_right = _is_password(password, person.password if person and person.password else _NOBODYS)
        return person if person and person.password and is_right else None

    def from_proxy(self, headers: Mapping[str, list[str]]) -> tuple[str, Person] | None:
        """Whom the proxy names; None if the request did not come through it.

        Args:
            headers: Values of each header, names in lower case.

        Raises:
            BadInput: If it names nobody who may be here.
        """
        proxy = self.proxy
        if proxy is None:
            return None
        given = headers.get(proxy.secret_header.lower(), [])
        if len(given) != 1 or not hmac.compare_digest(given[0].encode("utf-8", "replace"), proxy.secret.encode()):
            return None
        names = headers.get(proxy.user_header.lower(), [])
        if len(names) != 1 or not names[0].strip():
            raise BadInput(f"The proxy names nobody in {proxy.user_header}.", "Sign in there.")
        name = names[0].strip()
        if person := self.find(name):
            return name, person
        roles = headers.get(proxy.role_header.lower(), []) if proxy.role_header else []
        found = [role for role in ROLES if roles == [role]]
        if not found:
            raise BadInput(f"{name[:100]!r} has no role here.", f"Ask whoever keeps the file of {SETTING}.")
        return name, Person(role=found[0])


def read_access(file: Path) -> Access:
    """Read the file that names people and their roles.

    Raises:
        BadSettings: If it cannot be read; says what is wrong.
    """
    try:
        access = Access.model_validate(tomllib.loads(file.read_text("utf-8")))
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"])) or "the file"
        raise BadSettings(f"{SETTING} has a mistake in {file}: {place}: {wrong['msg']}.", _REMEDY) from None
    except (OSError, ValueError) as error:
        raise BadSettings(f"{SETTING} names {file}, which cannot be read: {reason_of(error)}.", _REMEDY) from None
    learn([access.proxy.secret] if access.proxy else [], [])
    return access


def hash_password(password: str) -> str:
    """What the file has in place of a password.

    Raises:
        BadInput: If it is too short or too long.
    """
    if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise BadInput(
            f"The password has {len(password)} characters.", f"Take one with {LEAST_PASSWORD} to {LONGEST_PASSWORD}."
        )
    return _hash(password, secrets.token_bytes(16))


def _fold(name: str) -> str:
    return name.strip().casefold()


def _hash(password: str, salt: bytes) -> str:
    key = hashlib.scrypt(
        password.encode("utf-8", "replace"), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=_KEY_BYTES
    )
    return f"scrypt:{b64encode(salt).decode()}:{b64encode(key).decode()}"


def _read_hash(text: str) -> bytes | None:
    """The salt of a hash; None if it is none."""
    try:
        kind, salt, key = text.split(":")
        return (
            b64decode(salt, validate=True)
            if kind == "scrypt" and len(b64decode(key, validate=True)) == _KEY_BYTES
            else None
        )
    except ValueError:
        return None


def _is_password(password: str, hashed: str) -> bool:
    salt = _read_hash(hashed)
    return salt is not None and hmac.compare_digest(_hash(password[:LONGEST_PASSWORD], salt), hashed)
