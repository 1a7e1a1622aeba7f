"""Who may submit to a service: tokens with a name and scopes, kept as digests, revocable.

A token is 32 random bytes, so that plain sha256 is enough: there is nothing to guess. It is shown once, when it is
made, and kept nowhere. Knows no HTTP.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...schema.canonical import canonical_bytes, strict_loads
from ...schema.errors import RecordError, UsageError
from ..errors import Locked, NotInIndex, StoreError, os_reason
from ..files import FILES, Files, make_folder, rewrite
from ..locking import locked

PREFIX = "swx_"
SCOPES = ("record", "request")
"""Submit the record of a scan; ask for a scan."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?")
_TOKEN = re.compile(r"swx_[A-Za-z0-9_-]{43}")
_FILE = "tokens.json"


@dataclass(frozen=True)
class Token:
    """A token as it is kept: everything but itself."""

    id: str
    name: str
    """Who submits with it, as records will credit."""
    scopes: tuple[str, ...]
    digest: str
    """Hex sha256 of the token."""
    created: str
    expires: str | None = None
    revoked: str | None = None

    def is_good(self, time: str) -> bool:
        """Whether it counts at this UTC time."""
        return self.revoked is None and (self.expires is None or time < self.expires)


class Tokens:
    """The tokens beside a store of submissions."""

    def __init__(self, folder: Path, *, files: Files = FILES) -> None:
        self.path, self.files = Path(folder) / _FILE, files
        self._lock = FileLock(Path(folder) / "tokens.lock")

    def all(self) -> list[Token]:
        """All that were made, oldest first; raise StoreError."""
        try:
            data = strict_loads(self.path.read_bytes())
            return [Token(**{**each, "scopes": tuple(each["scopes"])}) for each in data["tokens"]]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {os_reason(error)}") from None
        except (RecordError, KeyError, TypeError):
            raise StoreError(f"{self.path}: damaged: restore it from another copy, or make new tokens") from None

    def find(self, token: str, time: str) -> Token | None:
        """The token that this is, if it counts at this time; None for anything else."""
        if not _TOKEN.fullmatch(token):
            return None
        digest = digest_of(token)
        found = [t for t in self.all() if hmac.compare_digest(t.digest, digest)]
        return found[0] if found and found[0].is_good(time) else None

    def create(self, name: str, scopes: tuple[str, ...], time: str, expires: str | None = None) -> tuple[str, Token]:
        """Make a token for somebody; itself, which is not kept, and what is; raise UsageError, StoreError."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r:.60} is no name of a submitter: a-z, 0-9 and '-', at most 39")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise UsageError(f"{', '.join(unknown) or 'nothing'!r:.40} is no scope; there are: {', '.join(SCOPES)}")
        secret = PREFIX + secrets.token_urlsafe(32)
        digest = digest_of(secret)
        made = Token(digest[:8], name, scopes, digest, time, expires)
        self._change(lambda known: [*known, made])
        return secret, made

    def revoke(self, token_id: str, time: str) -> Token:
        """Let a token, by its id, count no more; raise NotInIndex if there is none, StoreError."""
        gone: list[Token] = []

        def revoked(known: list[Token]) -> list[Token]:
            gone.extend(replace(t, revoked=t.revoked or time) for t in known if t.id == token_id)
            return [next((g for g in gone if g.id == t.id), t) for t in known]

        self._change(revoked)
        if not gone:
            raise NotInIndex(f"no token {token_id!r:.40}; to see them: swindex token list")
        return gone[0]

    def _change(self, change: Any) -> None:
        make_folder(self.path.parent, self.files)
        with locked(self._lock, Path(self._lock.lock_file), self._busy, 10.0):
            tokens = [{**asdict(t), "scopes": list(t.scopes)} for t in change(self.all())]
            rewrite(self.path, canonical_bytes({"tokens": tokens}).decode() + "\n", self.files)
            os.chmod(self.path, 0o600)

    def _busy(self) -> StoreError:
        return Locked(f"another process changes {self.path}; try again when it is done")


def digest_of(token: str) -> str:
    """The digest under which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()
