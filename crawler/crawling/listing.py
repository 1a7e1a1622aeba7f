"""The Hub's listing, page by page, from any page on: what is asked, what comes back, where it goes on.

The client's own walk cannot be resumed, so each page is a GET of our own, with the client's session and headers, and
the address of the next page comes back with it. That address is only followed to where the listing was asked for: the
token goes nowhere else. A page is read up to a cap; each row is checked, and a bad one is reported, never dropped.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, httpx

from ...schema.canonical import canonical_bytes
from ...schema.errors import SwindexError
from ..hub import transport
from ..refusal import one_line
from .policy import Listing
from .row import EXPAND, BadRow, Row, read_row

PATH = "/api/models"
MAX_PAGE = 64_000_000
"""Bytes of one page, after decompression; a thousand rows with their configs take a few million."""
MAX_ROWS = 10_000
"""Rows of one page; the Hub sends a thousand."""
MAX_URL = 8192
MAX_EMPTY = 100
"""Pages without a row, one after the other, after which a listing is taken for endless."""
GARBLED_TRIES = 3
TIMEOUT = 60.0
"""Seconds without a byte."""
_STALE = frozenset({400, 404, 410, 422})
_ERRORS = (HfHubHTTPError, httpx.HTTPError, httpx.InvalidURL, OfflineModeIsEnabled, UnicodeEncodeError, OSError)


class DiscoveryError(SwindexError):
    """The Hub could not be asked which models there are."""


class StaleCursor(DiscoveryError):
    """The Hub no longer takes the address at which a walk stopped; only asking from the start helps."""


@dataclass(frozen=True)
class Page:
    """One page: its rows in the Hub's order, the next page's address, and what could not be believed, a line each."""

    rows: tuple[Row, ...]
    following: str | None
    bad: tuple[str, ...] = ()
    requests: int = 1
    bytes: int = 0
    seconds: float = 0.0

    @property
    def listed(self) -> int:
        """Rows that the Hub sent, good and bad."""
        return len(self.rows) + len(self.bad)


def first_url(query: Listing, endpoint: str) -> str:
    """The address of the first page."""
    said = query.model_dump(exclude_none=True)
    pairs = [("filter", said.pop("filters")), *said.items(), ("expand", EXPAND)]
    kept = [(key, _SORT.get(value, value) if key == "sort" else value) for key, value in pairs if value != ""]
    return f"{endpoint.rstrip('/')}{PATH}?{urlencode(kept, doseq=True)}"


_SORT = {"last_modified": "lastModified", "trending_score": "trendingScore", "created_at": "createdAt"}


def digest(*said: Any) -> str:
    """What a listing is known by: sha256 over all that decides which models it gives and what becomes of them."""
    return hashlib.sha256(canonical_bytes(list(said))).hexdigest()


def pages(query: Listing, start_url: str | None = None, *, api: HfApi | None = None, listed: int = 0) -> Iterator[Page]:
    """The pages of a listing, from `start_url` on (a `Page.following` of before); raise DiscoveryError, StaleCursor.

    `listed` rows came before it, which count towards the query's limit.
    """
    api, empty = api or HfApi(), 0
    transport.ensure(api.endpoint)
    url: str | None = next_url(start_url, api.endpoint, api.endpoint) if start_url else first_url(query, api.endpoint)
    while url is not None and (query.limit is None or listed < query.limit):
        try:
            page = _page(url, api)
        except StaleCursor as error:
            raise error if url == start_url else DiscoveryError(str(error)) from None
        page = _cut(page, None if query.limit is None else query.limit - listed)
        listed, empty = listed + page.listed, 0 if page.listed else empty + 1
        if empty > MAX_EMPTY or page.following == url:
            raise DiscoveryError(f"{api.endpoint}: the listing does not end: its pages bring nothing new")
        yield page
        url = page.following


def next_url(link: str, base: str, endpoint: str) -> str:
    """The next page's address as linked from `base`; raise DiscoveryError unless it is the listing's own, elsewhere."""
    try:
        url = urljoin(base, link)
        there, here = urlsplit(url), urlsplit(f"{endpoint.rstrip('/')}{PATH}")
        same = (there.scheme, there.netloc, there.path) == (here.scheme, here.netloc, here.path)
        fits = len(url) <= MAX_URL and url.isascii() and url.isprintable() and " " not in url and not there.fragment
    except ValueError:
        same = fits = False
        url = link
    if same and fits:
        return url
    said = one_line(repr(url[:200]))
    raise DiscoveryError(f"{endpoint}: the next page is said to be at {said}, which is not this listing; not followed")


# --- one page ---


def _page(url: str, api: HfApi) -> Page:
    started, requests, why = monotonic(), 0, ""

    def sent() -> None:
        nonlocal requests
        requests += 1

    for _ in range(GARBLED_TRIES):
        try:
            with transport.caller(sent):
                body, link = _get(url, api)
            rows, bad = _rows(body)
        except _Garbled as error:
            why = str(error)
            continue
        except _ERRORS as error:
            raise _failure(error, api.endpoint) from None
        following = None if link is None else next_url(link, url, api.endpoint)
        return Page(rows, following, bad, requests, len(body), monotonic() - started)
    raise DiscoveryError(f"{api.endpoint}: the listing failed: {why} ({GARBLED_TRIES} tries); try again later")


def _get(url: str, api: HfApi) -> tuple[bytearray, str | None]:
    """The body of a page and its link to the next."""
    headers = build_hf_headers(token=api.token) | {"Accept-Encoding": "gzip"}
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=False) as response:
        if response.status_code != 200:
            hf_raise_for_status(response)
            raise _Garbled(f"status {response.status_code} is no page")
        return _body(response), _link(response)


def _body(response: Any) -> bytearray:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_PAGE:
            raise _Garbled(f"a page of more than {MAX_PAGE} bytes")
    return body


def _link(response: Any) -> str | None:
    try:
        url = response.links.get("next", {}).get("url")
    except (ValueError, TypeError, AttributeError):
        raise _Garbled("a Link header that cannot be read") from None
    return url if isinstance(url, str) else None


def _rows(body: bytearray) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The good rows, and a line for each bad one; raise _Garbled if this is no page at all."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Garbled(one_line(f"a page that is not JSON: {error}")[:200]) from None
    if not isinstance(data, list) or len(data) > MAX_ROWS:
        raise _Garbled(f"a page that is not a list of at most {MAX_ROWS} rows")
    rows, bad = [], []
    for number, each in enumerate(data):
        try:
            rows.append(read_row(each))
        except BadRow as error:
            bad.append(one_line(f"row {number}: {error}"))
    return tuple(rows), tuple(bad)


def _cut(page: Page, most: int | None) -> Page:
    """The page, cut to `most` rows if it has more, with nothing after it then."""
    if most is None or page.listed < most:
        return page
    bad = page.bad[: max(0, most - len(page.rows))]
    return replace(page, rows=page.rows[:most], bad=bad, following=None)


class _Garbled(Exception):
    """An answer that is not a page of a listing."""


def _failure(error: Exception, endpoint: str) -> DiscoveryError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    secret = isinstance(error, httpx.LocalProtocolError | UnicodeEncodeError)  # its text holds the token
    reason = "HF_TOKEN holds what no token does" if secret else one_line(str(error))[:200]
    kind = StaleCursor if status in _STALE else DiscoveryError
    return kind(f"{endpoint}: the listing failed: {type(error).__name__}: {reason}")
