"""Through a listing, from where the last walk stopped: each page is decided on, queued, and only then passed.

Resumable at any point: a page that was not acknowledged is asked for again. A page that queues something is passed on
disk before the next is asked for; one that queues nothing may wait a second for the next, since it can be asked again
at no loss. Scans nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import NamedTuple

from huggingface_hub import HfApi

from ...index.store import Index
from ..parts.result import DETECTOR
from .decide import INDEXED, Decision, decide, queued
from .listing import Page, StaleCursor, digest, pages
from .policy import Policy
from .state import Place, State

UNSAVED_SECONDS = 1.0
"""The longest that the place after pages that queue nothing is kept in memory alone."""


class Step(NamedTuple):
    """A page, what becomes of its rows, and where the walk stands after it."""

    page: Page
    decisions: list[Decision]
    place: Place


def listing_of(policy: Policy, endpoint: str) -> str:
    """What the walk is known by: another policy or another Hub is another walk, from the start."""
    said = policy.model_dump(mode="json", include={"listing", "models", "fine_tunes"})
    return digest(said, endpoint, DETECTOR)


def walk(policy: Policy, state: State, index: Index, *, api: HfApi | None = None) -> Iterator[Step]:
    """Go through the listing and queue what is to be scanned; raise DiscoveryError, StoreError.

    A step that queues something is on disk when it is yielded. Where the Hub no longer takes the place of an old walk,
    it begins again.
    """
    api = api or HfApi()
    query = listing_of(policy, api.endpoint)
    place = state.place(query) or state.begin(query)
    try:
        yield from _from(place, policy, state, index, api)
    except StaleCursor:
        yield from _from(state.begin(query), policy, state, index, api)


def _from(place: Place, policy: Policy, state: State, index: Index, api: HfApi) -> Iterator[Step]:
    saved = monotonic()
    for page in pages(policy.listing, place.next_url, api=api, listed=place.rows):
        decisions = decide(page.rows, state, index, policy)
        place = _after(place, page, decisions)
        jobs = [queued(d.row, policy) for d in decisions if d.action == "scan"]
        if jobs or place.next_url is None or monotonic() - saved > UNSAVED_SECONDS:
            state.turn(place, jobs)
            saved = monotonic()
        yield Step(page, decisions, place)


def _after(place: Place, page: Page, decisions: list[Decision]) -> Place:
    kinds = Counter(d.kind if d.action == "skip" else "" for d in decisions)
    indexed = sum(kinds[kind] for kind in INDEXED)
    return replace(
        place,
        next_url=page.following,
        pages=place.pages + 1,
        rows=place.rows + page.listed,
        eligible=place.eligible + kinds[""],
        indexed=place.indexed + indexed,
        left_out=place.left_out + len(decisions) - kinds[""] - indexed,
        bad=place.bad + len(page.bad),
    )
