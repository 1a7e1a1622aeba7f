"""GET /api/models and /api/datasets: filters, order, pages.

A page is made by walking the candidates from the cursor's position until it is full, so memory is that of one
page however long the listing. Synthetic models come after the real ones, whatever the order asked for. A
cursor is a position, so a listing that changes between two pages may repeat or skip a repository, as the
Hub's may.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .about import FIELDS, FULL, SHORT, document, get, total_parameters
from .errors import HubError
from .repos import Repository
from .state import State, base_url, state_of, user_of

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
SORTS = ("downloads", "likes", "lastModified", "createdAt", "trendingScore")


def number(text: str) -> float:
    """Read a count such as 350M or 1.5B; raise HubError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMBT]?)", text.strip().upper())
    if not match:
        raise HubError("bad", f"Invalid number of parameters: {text!r}")
    return float(match[1]) * UNITS[match[2]]


def _sized(repo: Repository, value: str) -> bool:
    """Say whether the size is within 'min:1B,max:14B' (bounds included); an unknown size is not."""
    total = total_parameters(repo)
    bounds = dict(part.partition(":")[::2] for part in value.split(","))
    low, high = number(bounds.get("min", "0")), number(bounds.get("max", "1000000T"))
    return total is not None and low <= total <= high


def _tagged(repo: Repository, value: str) -> bool:
    return value in get(repo, repo.head, "tags")


def _authored(repo: Repository, value: str) -> bool:
    return repo.id.partition("/")[0].lower() == value.lower()


def _named(repo: Repository, value: str) -> bool:
    return value.lower() in repo.id.lower()


def _piped(repo: Repository, value: str) -> bool:
    return bool(get(repo, repo.head, "pipeline_tag") == value)


def _gated(repo: Repository, value: str) -> bool:
    return bool(get(repo, repo.head, "gated")) == (value.lower() in ("true", "1"))


TESTS: dict[str, Callable[[Repository, str], bool]] = {
    "author": _authored,
    "search": _named,
    "pipeline_tag": _piped,
    "gated": _gated,
    "num_parameters": _sized,
    "filter": _tagged,
}
"""Query parameter to the test that a listed repository must pass for each of its values."""


def matches(repo: Repository, query: QueryParams) -> bool:
    """Say whether a repository passes all filters of the query."""
    return all(test(repo, value) for key, test in TESTS.items() for value in query.getlist(key))


class Candidates(Sequence[Repository]):
    """The real repositories in order, then the synthetic ones, which are made when touched."""

    def __init__(self, real: list[Repository], more: Sequence[Repository] | Any) -> None:
        self.real, self.more = real, more

    def __len__(self) -> int:
        return len(self.real) + len(self.more)

    def __getitem__(self, position: Any) -> Any:
        return self.real[position] if position < len(self.real) else self.more[position - len(self.real)]


def candidates(state: State, kind: str, sort: str, private: bool) -> Candidates:
    """Return what may be listed, in order (largest or newest first, then by name)."""
    real = [repo for repo in state.repos.of_kind(kind) if private or not get(repo, repo.head, "private")]
    real.sort(key=lambda repo: repo.id)
    real.sort(key=lambda repo: get(repo, repo.head, sort), reverse=True)
    return Candidates(real, state.synthetic if kind == "models" else [])


def take(pool: Candidates, query: QueryParams, start: int, size: int) -> tuple[list[Repository], int | None]:
    """Return one page from a position on and the position of the next match, None at the end."""
    page: list[Repository] = []
    for position in range(start, len(pool)):
        repo = pool[position]
        if not matches(repo, query):
            continue
        if len(page) == size:
            return page, position
        page.append(repo)
    return page, None


def fields(query: QueryParams) -> Sequence[str]:
    """Return the fields asked for; raise HubError for an unknown one."""
    expand = [*query.getlist("expand"), *query.getlist("expand[]")]
    unknown = [name for name in expand if name not in FIELDS]
    if unknown:
        raise HubError("bad", f'"expand" must be one of {sorted(FIELDS)}, not {unknown}')
    extra = [name for name, key in (("config", "config"), ("cardData", "cardData")) if query.get(key) == "true"]
    return expand or [*(FULL if query.get("full") == "true" else SHORT), *extra]


def encode(position: int) -> str:
    """Write a position as an opaque cursor."""
    return base64.urlsafe_b64encode(f"at:{position}".encode()).decode()


def decode(cursor: str | None) -> int:
    """Read a cursor (None is the start); raise HubError."""
    if cursor is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor.encode()).decode().removeprefix("at:"))
    except ValueError as error:
        raise HubError("bad", "Invalid cursor") from error


def next_link(request: Request, position: int | None) -> dict[str, str]:
    """Return the Link header to the next page, or nothing after the last one."""
    if position is None:
        return {}
    kept: Iterator[tuple[str, str]] = (pair for pair in request.query_params.multi_items() if pair[0] != "cursor")
    query = urlencode([*kept, ("cursor", encode(position))])
    return {"Link": f'<{base_url(request)}{request.url.path}?{query}>; rel="next"'}


def synthetic_page(request: Request, pool: Candidates, start: int, size: int) -> Response:
    """Answer a page that holds synthetic models alone, which is made without making them."""
    names = fields(request.query_params)
    body, after = pool.more.page(
        start,
        size,
        lambda repo: matches(repo, request.query_params),
        lambda repo: document(repo, repo.head, names),
    )
    position = None if after is None else len(pool.real) + after
    return Response(body, media_type="application/json", headers=next_link(request, position))


def listing(request: Request) -> Response:
    """Answer one page of a listing."""
    state, query, user = state_of(request), request.query_params, user_of(request)
    sort = query.get("sort", "trendingScore")
    if sort not in SORTS:
        raise HubError("bad", f'"sort" must be one of {list(SORTS)}')
    limit = query.get("limit", str(state.page_size))
    if not limit.isdigit():
        raise HubError("bad", '"limit" must be a number')
    pool = candidates(state, request.path_params["kind"], sort, bool(user and user.approved))
    names = fields(query)
    start, size = decode(query.get("cursor")), min(int(limit), state.page_size)
    if start >= len(pool.real) and pool.more and "search" not in query:
        return synthetic_page(request, pool, start - len(pool.real), size)
    page, after = take(pool, query, start, size)
    return JSONResponse([document(repo, repo.head, names) for repo in page], headers=next_link(request, after))
