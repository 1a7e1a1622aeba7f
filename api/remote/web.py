"""Bytes of a release from a web server or a dataset on the Hub, over a connection that may fail in any way.

A range is exactly that range (206 and its Content-Range), or cut out of the whole file where the server ignores it.
Reads are repeated while that can help, as long as the server asks for, and have an end. A token goes to the Hub's
own endpoint and to no other server, whatever a redirect says. Nothing is read compressed.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from huggingface_hub.utils import build_hf_headers, httpx

from ... import __version__
from ...crawler.hub import retry
from ...crawler.hub.network import Network, deadline
from ...index.errors import StoreError
from .fetch import Fresh, NotThere, Offline, Unreachable, checked, require_name, within

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~%+-]+)*/?")
_DATASET = re.compile(r"hf://datasets/([\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?/?", re.ASCII)
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOPS = 6
_MIN_RATE = 4096
"""Bytes per second that a body must bring once it has taken `Patience.read` seconds."""
_MAX_ETAG = 200
_Taken = TypeVar("_Taken")


class Patience(NamedTuple):
    """How long is waited, and for what."""

    connect: float = 15.0
    read: float = 30.0
    """Seconds without a byte, and for the head of an answer."""
    tries: int = 5
    longest: float = 60.0
    """Seconds waited at most before a repetition; who asks for more is not asked again."""
    sleep: Callable[[float], None] = time.sleep


class _Again(Exception):
    """An answer that another try may better; `wait` is what the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Http:
    """A release directory on a web server."""

    def __init__(self, address: str, patience: Patience = Patience()) -> None:  # noqa: B008
        require_name(_ADDRESS.fullmatch(address), address, "https://HOST/PATH without user, query or fragment")
        self.name = address.rstrip("/")
        self.patience = patience
        self._token: dict[str, str] = {}
        timeout = httpx.Timeout(patience.read, connect=patience.connect)
        self._client = httpx.Client(transport=Network(), timeout=timeout, follow_redirects=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
        """As `Source.read`."""
        within(f"{self.name}/{path}", length or 0, most)
        if length == 0:
            return b""
        last = "" if length is None else str(start + length - 1)
        headers = {"Range": f"bytes={start}-{last}"} if start or length is not None else {}
        return self._get(path, headers, lambda response: self._part(response, path, start, length, most))

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """As `Source.fresh`."""
        headers = {"If-None-Match": etag, "Cache-Control": "no-cache"} if etag else {"Cache-Control": "no-cache"}

        def taken(response: httpx.Response) -> Fresh:
            self._noted(response)
            if response.status_code == 304 and etag:
                return Fresh(None, etag)
            given = response.headers.get("ETag", "")
            known = given if given.isascii() and given.isprintable() and len(given) <= _MAX_ETAG else ""
            return Fresh(self._part(response, path, 0, None, most), known or None)

        return self._get(path, headers, taken)

    # --- what the Hub does otherwise ---

    def _address(self, path: str) -> str:
        return f"{self.name}/{path}"

    def _noted(self, response: httpx.Response) -> None:
        """Look at the head of the answer for a file that changes in place."""

    # --- one answer ---

    def _part(self, response: httpx.Response, path: str, start: int, length: int | None, most: int) -> bytes:
        """The bytes wanted, out of an answer with them or with the whole file."""
        where = f"{self.name}/{path}"
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise StoreError(f"{where}: sent compressed, though asked not to: turn that off on the server")
        skip = start
        if response.status_code == 206:
            skip, length = 0, _ranged(response, start, length)
        elif response.status_code != 200:
            raise StoreError(f"{where}: unexpected status {response.status_code}")
        within(where, _announced(response) if length is None else length, most)
        found = bytearray()
        for piece in _pieces(response, self.patience.read):
            dropped = min(skip, len(piece))
            skip -= dropped
            found += piece[dropped:]
            if length is not None and len(found) >= length:
                return bytes(found[:length])
            within(where, len(found), most)
        if skip or length is not None:
            raise _Again(f"{len(found)} bytes where {length} should be")
        return bytes(found)

    def _get(self, path: str, headers: dict[str, str], take: Callable[[httpx.Response], _Taken]) -> _Taken:
        """What `take` makes of the answer for a file; raise NotThere, Unreachable, StoreError."""
        url, reason = self._address(checked(path)), ""
        for attempt in range(self.patience.tries):
            try:
                return self._once(url, path, headers, take)
            except _Again as again:
                reason, wait = str(again), again.wait
            wait = retry.backoff(attempt) if wait is None else wait
            if wait > self.patience.longest:
                raise Unreachable(f"{self.name}: asks to wait {wait:.0f} s ({reason}); try again after that")
            if attempt + 1 < self.patience.tries:
                self.patience.sleep(wait)
        raise Unreachable(f"{self.name}/{path}: {reason} ({self.patience.tries} tries); try again later")

    def _once(self, url: str, path: str, headers: dict[str, str], take: Callable[[httpx.Response], _Taken]) -> _Taken:
        where = httpx.URL(url)
        for _ in range(_HOPS):
            with self._sent(where, headers) as response:
                if response.status_code not in _REDIRECTS:
                    self._refuse(response, path)
                    return take(response)
                where = _next(where, response, self.name)
        raise StoreError(f"{self.name}/{path}: redirected more than {_HOPS} times")

    @contextmanager
    def _sent(self, url: httpx.URL, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer to one request, its body not read yet; raise _Again where another try may help."""
        ours = {"User-Agent": f"swindex/{__version__}", "Accept-Encoding": "identity", **headers}
        token = self._token if _origin(url) == _origin(httpx.URL(self._address("x"))) else {}
        try:
            request = self._client.build_request("GET", url, headers={**ours, **token})
            with deadline(self.patience.read + self.patience.connect):
                response = self._client.send(request, stream=True)
            try:
                yield response
            finally:
                response.close()
        except retry.RETRY_ERRORS as error:
            raise _Again(f"{type(error).__name__} {error}".strip()) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Unreachable(f"{self.name}: {type(error).__name__} {error}") from None

    def _refuse(self, response: httpx.Response, path: str) -> None:
        """Raise what a status means that brings no file."""
        status, where = response.status_code, f"{self.name}/{path}"
        if status in retry.RETRY_STATUS:
            raise _Again(f"status {status}", retry.asked_wait(response.headers))
        if status in (404, 410) and self._is_about_file(response):
            raise NotThere(f"{where}: not there")
        if status in _MEANING:
            raise StoreError(f"{where}: {_MEANING[status]}")
        if status >= 400:
            raise StoreError(f"{where}: refused with status {status}")

    def _is_about_file(self, response: httpx.Response) -> bool:
        """Whether a 404 means this file, and not all of the source."""
        return True


class HubDataset(Http):
    """A release in a dataset on the Hub, at a revision (`main` if none is named).

    Honours HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE. What `fresh` read last fixes the commit of which the rest is read.
    """

    def __init__(self, name: str, patience: Patience = Patience()) -> None:  # noqa: B008
        found = require_name(_DATASET.fullmatch(name), name, "hf://datasets/ORG/NAME, and if wanted @REVISION")
        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        super().__init__(endpoint, patience)
        self._endpoint, self.name = self.name, name.rstrip("/")
        self._repo, self._named = found[1], found[2] or "main"
        self._at = self._named
        self._token = {k: v for k, v in build_hf_headers().items() if k.lower() == "authorization"}

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """As `Source.fresh`, of the newest commit."""
        self._at = self._named
        return super().fresh(path, etag, most=most)

    def _address(self, path: str) -> str:
        return f"{self._endpoint}/datasets/{self._repo}/resolve/{quote(self._at, safe='')}/{path}"

    def _noted(self, response: httpx.Response) -> None:
        commit = response.headers.get("X-Repo-Commit", "")
        self._at = commit if _COMMIT.fullmatch(commit) else self._at

    def _is_about_file(self, response: httpx.Response) -> bool:
        return response.headers.get("X-Error-Code", "EntryNotFound") == "EntryNotFound"

    @contextmanager
    def _sent(self, url: httpx.URL, headers: dict[str, str]) -> Iterator[httpx.Response]:
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise Offline(f"{self.name}: while HF_HUB_OFFLINE is set nobody is asked")
        with super()._sent(url, headers) as response:
            yield response


_MEANING = {
    401: "not public, or not there: set HF_TOKEN if you may read it",
    403: "not public: access must be asked for, or the token is not enough",
    404: "there is no such dataset or revision",
    416: "shorter than it should be: cut off, or damaged; try again later",
}


def _ranged(response: httpx.Response, start: int, length: int | None) -> int:
    """How many bytes an answer 206 brings; raise _Again if it is not the range that was asked for."""
    given = response.headers.get("Content-Range", "")
    found = _RANGE.fullmatch(given)
    first, last = (int(found[1]), int(found[2])) if found else (-1, -1)
    count = last - first + 1
    if found is None or first != start or count != (count if length is None else length):
        raise _Again(f"range {given!a:.60} where {start}+{'' if length is None else length} was asked for")
    if (length is None and found[3] != str(last + 1)) or _announced(response) not in (0, count):
        raise _Again(f"a length that does not fit its range {given!a:.60}")
    return count


def _announced(response: httpx.Response) -> int:
    """The length of a body as its head states it, 0 if it does not."""
    given = response.headers.get("Content-Length", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else 0


def _pieces(response: httpx.Response, patience: float) -> Iterator[bytes]:
    """A body as it comes; raise httpx.ReadTimeout if it comes too slowly."""
    began, got = time.monotonic(), 0
    for piece in response.iter_raw():
        got += len(piece)
        waited = time.monotonic() - began
        if waited > patience and got < _MIN_RATE * waited:
            raise httpx.ReadTimeout(f"too slow: {got} bytes in {waited:.0f} s")
        yield piece


def _next(url: httpx.URL, response: httpx.Response, name: str) -> httpx.URL:
    """Where a redirect leads; raise StoreError for none, or one to a less safe scheme."""
    try:
        target = url.join(response.headers.get("Location", ""))
    except httpx.InvalidURL:
        raise StoreError(f"{name}: redirects to what is no address") from None
    if target.scheme not in ("http", "https") or (url.scheme, target.scheme) == ("https", "http") or target == url:
        raise StoreError(f"{name}: redirects to {target.scheme}://{target.host}, which is not followed")
    return target.copy_with(username=None, password=None) if target.userinfo else target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port or {"http": 80, "https": 443}.get(url.scheme)
