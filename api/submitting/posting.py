"""Sends a submission to a service. Repeats what may not have arrived: the same sent twice is one submission.

A token goes over https or to this machine, to the address that was named, and nowhere else: redirects are not followed.
"""

import ipaddress
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from huggingface_hub.utils import httpx

from ... import __version__
from ...crawler.hub import retry
from ...crawler.refusal import one_line
from ...index.submissions.document import Submission
from ...schema.errors import SwindexError, UsageError

TOKEN = "SWINDEX_TOKEN"
TRIES = 4
MOST = 1 << 20
"""Bytes of an answer."""
_SECONDS = 30.0


class NotSent(SwindexError):
    """The service did not take it."""


class Refused(NotSent):
    """The service said no."""

    exit_status = 1


@dataclass(frozen=True)
class Sent:
    """A submission as the service has it."""

    page: str
    status: dict[str, Any]
    is_new: bool


class Service:
    """A service that takes submissions. Raise UsageError for an address that a token may not go to."""

    def __init__(self, address: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.address, self._pause = _checked(address), pause

    def newest(self, model_id: str) -> str | None:
        """The digest of the newest version that the service has of a model; None if it has none, or does not say."""
        try:
            response = self._ask("GET", f"/v1/models/{quote(model_id)}/verify")
            digest = _json(response)["record"]["digest"] if response.status_code == 200 else None
        except (NotSent, KeyError, TypeError):
            return None
        return digest if isinstance(digest, str) and len(digest) == 64 else None

    def send(self, submission: Submission) -> Sent:
        """Submit it with the token in SWINDEX_TOKEN; raise NotSent."""
        headers = {"Authorization": f"Bearer {_token()}", "Content-Type": "application/json"}
        response = self._ask("POST", "/v1/submissions", headers, submission.to_bytes())
        if response.status_code not in (200, 201):
            raise self._refused(response)
        status = _json(response)
        try:
            return Sent(f"{self.address}/submissions/{quote(str(status['id']))}", status, response.status_code == 201)
        except (KeyError, TypeError):
            raise NotSent(f"{self.address}: answers what is no submission; is it a swindex service?") from None

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
        """The answer; asked again while that can help."""
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                self._pause(retry.backoff(attempt - 1))
            try:
                response = self._once(method, path, headers or {}, body)
            except httpx.HTTPError as error:
                reason = type(error).__name__
                continue
            if response.status_code not in (500, 502, 503, 504):
                return response
            reason = f"status {response.status_code}"
        raise NotSent(f"{self.address}: {reason} ({TRIES} tries); try again later: sent twice it is one submission")

    def _once(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Any:
        ours = {"User-Agent": f"swindex/{__version__}", "Accept": "application/json", **headers}
        with httpx.Client(timeout=_SECONDS, follow_redirects=False) as client:
            request = client.build_request(method, self.address + path, headers=ours, content=body)
            response = client.send(request, stream=True)
            try:
                data = b""
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > MOST:
                        raise NotSent(f"{self.address}: answers more than {MOST} bytes")
            finally:
                response.close()
        return httpx.Response(response.status_code, headers=_kept(response), content=data)

    def _refused(self, response: Any) -> NotSent:
        status = response.status_code
        try:
            detail = one_line(str(json.loads(response.content)["detail"]))[:300]
        except (ValueError, KeyError, TypeError):
            detail = "no reason given"
        wait = response.headers.get("Retry-After", "")
        later = f"; come back in {wait} s" if status == 429 and wait.isdigit() and len(wait) < 8 else ""
        if status == 401:
            return Refused(f"{self.address}: takes no such token: set {TOKEN} to one that counts")
        return Refused(f"{self.address}: {status}: {detail}{later}")


def _kept(response: Any) -> dict[str, str]:
    return {n: v for n, v in response.headers.items() if n.lower() in ("retry-after", "location")}


def _json(response: Any) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        raise NotSent("the answer is no JSON; is it a swindex service?") from None


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UsageError(f"no token: set {TOKEN} to one that the keeper of the service gives")
    if not token.isascii() or not token.isprintable() or len(token) > 200:
        raise UsageError(f"{TOKEN} holds what no token does")
    return token


def _checked(address: str) -> str:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        raise UsageError(f"{ascii(address)[:120]} is no address of a service: https://HOST[/PATH]") from None
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise UsageError(f"{ascii(address)[:120]} is no address of a service: https://HOST[/PATH]")
    if parts.scheme == "http" and not _is_here(host):
        raise UsageError(f"{ascii(address)[:120]}: a token does not go over plain http; use https")
    return address.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
