"""Who is signed in, by a signed cookie or through the proxy, and the tokens of forms. Nothing is kept on the server but a key."""

import hashlib
import hmac
import json
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.pages.access import ROLES, Role

COOKIE = "ris_review"
LIFETIME_S = 12 * 3600
"""How long a session lasts, however much it is used."""
_KEY_BYTES = 32


@dataclass(frozen=True)
class ReviewSession:
    """Who decides.

    Attributes:
        reviewer: Label Studio's number of the user.
        name: As it was typed, or as the proxy has it; for the page.
        role: What they may do.
        nonce: Makes each session another one.
        at: When it began, seconds since 1970.
    """

    reviewer: int
    name: str
    role: Role
    nonce: str
    at: float

    def may(self, role: Role) -> bool:
        """Whether they may do what needs a role."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Sessions:
    """Makes and reads cookies. Processes with the same key accept each other's.

    Args:
        key: Secret. Whoever has it can sign in as anybody.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def begin(self, reviewer: int, name: str, role: Role) -> str:
        """The cookie of a new session."""
        session = ReviewSession(reviewer, name, role, secrets.token_urlsafe(16), time.time())
        payload = urlsafe_b64encode(json.dumps(asdict(session)).encode()).decode()
        return f"{payload}.{self._sign('session', payload)}"

    def of_proxy(self, reviewer: int, name: str, role: Role) -> ReviewSession:
        """The session of whom the proxy names; the same with each request, so that forms stay theirs."""
        return ReviewSession(reviewer, name, role, self._sign("proxy", f"{reviewer} {name}"), 0.0)

    def read(self, cookie: str) -> ReviewSession | None:
        """The session of a cookie; None if it was not made here, or is over."""
        payload, _, signature = cookie.rpartition(".")
        if not _is_same(signature, self._sign("session", payload)):
            return None
        session = ReviewSession(**json.loads(urlsafe_b64decode(payload)))
        return session if 0 <= time.time() - session.at < LIFETIME_S else None

    def form_token(self, session: ReviewSession) -> str:
        """What each form of a session carries, and no other page can know."""
        return self._sign("form", session.nonce)

    def is_own_form(self, session: ReviewSession, token: str) -> bool:
        """Whether a form was made for this session."""
        return _is_same(token, self.form_token(session))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose} {text}".encode(), hashlib.sha256).hexdigest()


def open_sessions(state_dir: Path, credentials: tuple[str, str] | None, access: str = "") -> Sessions:
    """Sessions that outlive a restart. Another password, or a change of who may do what, ends them all.

    Args:
        state_dir: Where the key is kept; only its owner can read the file.
        access: Fingerprint of who may do what.
    """
    file = state_dir / "pages.key"
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(secrets.token_bytes(_KEY_BYTES))
    try:
        os.link(part, file)  # all or nothing, and the first one counts
    except FileExistsError:
        pass
    finally:
        part.unlink()
    login = json.dumps([credentials, access]).encode()
    return Sessions(hmac.new(file.read_bytes(), login, hashlib.sha256).digest())


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
