"""The Hub's listing page by page: what a row says, where it goes on, and what a Hub that lies or fails can do to it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swindex.crawler.crawling import listing, walk
from swindex.crawler.crawling.listing import DiscoveryError, Page, pages
from swindex.crawler.crawling.policy import Listing, Policy
from swindex.crawler.crawling.row import EXPAND, BadRow, Row, read_row
from swindex.crawler.crawling.state import State
from swindex.crawler.hub import retry
from swindex.index.store import Index
from swindex.schema.ids import is_model_id

from .answers import Answer, Answers
from .hub import Hub

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SHA = "0123456789abcdef0123456789abcdef01234567"
STATED = {"id": "org/name", "sha": SHA}
ALL = Listing(filters=(), pipeline_tag="", sort=None)
TOKEN = "hf_secret"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub on loopback that lists seven models, three on a page."""
    with Hub(synthetic=7, page_size=3) as started:
        yield started


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long before a request is repeated."""
    monkeypatch.setattr(retry, "BASE_WAIT", 0.001)


def api_of(hub: Hub | Answers) -> HfApi:
    """A client with a token."""
    return HfApi(endpoint=hub.url, token=Hub.token if isinstance(hub, Hub) else TOKEN)


def names(found: list[Page]) -> list[str]:
    """The ids on these pages."""
    return [row.model_id for page in found for row in page.rows]


def synthetic(*numbers: int) -> list[str]:
    return [f"synthetic/model-{n:07d}" for n in numbers]


def page(*rows: object, link: str | None = None) -> Answer:
    """An answer with these rows and a link to the next page."""
    return Answer(json.dumps(rows).encode(), headers={} if link is None else {"Link": f'<{link}>; rel="next"'})


def failure(hub: Hub | Answers, query: Listing = ALL) -> str:
    """How a walk that cannot be made ends: one line."""
    with pytest.raises(DiscoveryError) as caught:
        list(pages(query, api=api_of(hub)))
    assert str(caught.value).isprintable()
    assert TOKEN not in str(caught.value)
    return str(caught.value)


# --- pages ---


def test_a_walk_gives_every_model_once_in_the_order_of_the_hub(hub: Hub) -> None:
    assert names(list(pages(ALL, api=api_of(hub)))) == synthetic(*range(7))


def test_rows_say_what_the_clients_own_listing_says(hub: Hub) -> None:
    for folder in ("stories260k", "aidreams260k"):
        hub.add_folder(f"demo/{folder}", CHECKPOINTS / folder, downloads=5, gated="auto")
    expand: Any = list(EXPAND)
    client = api_of(hub).list_models(filter=["safetensors"], pipeline_tag="text-generation", expand=expand)

    ours = [r for p in pages(Listing(sort=None), api=api_of(hub)) for r in p.rows]

    assert [(r.model_id, r.revision, r.gated, r.downloads, r.tags, r.library) for r in ours] == [
        (m.id, m.sha, bool(m.gated), m.downloads, tuple(m.tags or ()), m.library_name) for m in client
    ]


def test_one_request_for_a_page(hub: Hub) -> None:
    found = list(pages(ALL, api=api_of(hub)))

    assert (len(found), sum(p.requests for p in found), hub.log.count()) == (3, 3, 3)


def test_a_page_says_how_many_bytes_it_took(hub: Hub) -> None:
    found = list(pages(ALL, api=api_of(hub)))

    assert sum(p.bytes for p in found) == hub.log.sent()


def test_a_walk_goes_on_from_any_page(hub: Hub) -> None:
    (first,) = islice(pages(ALL, api=api_of(hub)), 1)

    assert names(list(pages(ALL, first.following, api=api_of(hub)))) == synthetic(3, 4, 5, 6)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 7, 8])
def test_the_limit_counts_models(hub: Hub, limit: int) -> None:
    found = list(pages(ALL.model_copy(update={"limit": limit}), api=api_of(hub)))

    assert (names(found), found[-1].following) == (synthetic(*range(min(limit, 7))), None)


def test_the_limit_counts_what_came_before(hub: Hub) -> None:
    query = ALL.model_copy(update={"limit": 5})
    (first,) = islice(pages(query, api=api_of(hub)), 1)

    assert names(list(pages(query, first.following, listed=3, api=api_of(hub)))) == synthetic(3, 4)


def test_the_hub_is_asked_for_what_the_policy_says(hub: Hub) -> None:
    hub.add_folder("demo/stories260k", CHECKPOINTS / "stories260k", downloads=1)
    hub.add_folder("demo/aidreams260k", CHECKPOINTS / "aidreams260k", downloads=2)
    hub.add_folder("other/stories260k", CHECKPOINTS / "stories260k", downloads=3)

    query = Policy().but(listing={"author": "demo", "num_parameters": "max:1M"}).listing

    assert names(list(pages(query, api=api_of(hub)))) == ["demo/aidreams260k", "demo/stories260k"]


def test_the_hub_is_asked_in_the_words_of_its_client(hub: Hub) -> None:
    query = Listing(sort="last_modified", author="a", search="b", num_parameters="min:1,max:2", limit=3)
    list(pages(query, api=api_of(hub)))
    ours = sorted(hub.log.entries[0].query.split("&"))
    hub.log.reset()
    sort, expand = "last_modified", list(EXPAND)
    said: dict[str, Any] = {"sort": sort, "expand": expand, "author": "a", "search": "b", "limit": 3}
    text = {"pipeline_tag": "text-generation", "filter": ["safetensors"], "num_parameters": "min:1,max:2"}
    list(api_of(hub).list_models(**said, **text))  # type: ignore[arg-type]

    assert ours == sorted(hub.log.entries[0].query.split("&"))


def test_compressed_pages_are_read(hub: Hub) -> None:
    hub.fault("gzip")

    assert names(list(pages(ALL, api=api_of(hub)))) == synthetic(*range(7))


def test_pages_that_are_filled_in_are_those_that_are_made() -> None:
    query = (
        "filter=llama&num_parameters=min:1M&expand=sha&expand=downloads&expand=author&expand=safetensors&expand=tags"
    )
    with Hub(synthetic=23, page_size=4) as hub:
        quick, slow = (_documents(hub, f"/api/models?{query}{more}") for more in ("", "&search=synthetic"))

    assert (len(quick), quick) == (17, slow)


def _documents(hub: Hub, path: str) -> list[Any]:
    from urllib.request import urlopen

    found: list[Any] = []
    url: str | None = hub.url + path
    while url:
        with urlopen(url) as answer:
            found += json.load(answer)
            link = answer.headers.get("Link")
        url = link[1:].partition(">")[0] if link else None
    return found


# --- rows ---


def test_a_row_holds_what_the_hub_states() -> None:
    stated = {
        **STATED,
        "safetensors": {"parameters": {"BF16": 1_000, "F32": 10, "F4": 3}, "total": 1_013},
        "gated": "manual",
        "disabled": False,
        "config": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
        "baseModels": {"relation": "finetune", "models": [{"_id": "1", "id": "org/base"}]},
        "tags": ["llama"],
        "library_name": "transformers",
        "downloads": 7,
        "lastModified": "2026-11-21T07:00:00.000Z",
    }

    assert read_row(stated) == Row(
        model_id="org/name",
        revision=SHA,
        size=2_000 + 40 + 1,
        gated=True,
        disabled=False,
        base_models=("org/base",),
        relation="finetune",
        architecture="LlamaForCausalLM",
        model_type="llama",
        library="transformers",
        tags=("llama",),
        downloads=7,
        last_modified="2026-11-21T07:00:00.000Z",
    )


def test_the_least_that_a_row_can_say() -> None:
    assert read_row(STATED) == Row("org/name", SHA)


def test_a_base_model_is_read_from_tags_where_nothing_else_says_it() -> None:
    row = read_row({**STATED, "tags": ["base_model:org/base", "base_model:quantized:org/base"]})

    assert (row.base_models, row.relation) == (("org/base",), "quantized")


@pytest.mark.parametrize("base", ["./llama-7b", "llama", "../../etc/passwd", 7, None])
def test_a_base_model_that_is_no_id_is_left_out(base: object) -> None:
    assert read_row({**STATED, "baseModels": {"relation": "adapter", "models": [{"id": base}]}}).base_models == ()


def test_an_unknown_dtype_counts_two_bytes() -> None:
    assert read_row({**STATED, "safetensors": {"parameters": {"U3": 8}}}).size == 16


BAD: list[tuple[object, str]] = [
    (None, "None is not an object"),
    ([], "not an object"),
    ({"sha": SHA}, "id None is not of the form"),
    ({**STATED, "id": "name"}, "id 'name' is not of the form"),
    ({**STATED, "id": "../etc/passwd"}, "not of the form"),
    ({**STATED, "id": "org/name\n"}, "not of the form"),
    ({**STATED, "id": 7}, "not of the form"),
    ({"id": "org/name"}, "org/name: sha None is not a commit"),
    ({**STATED, "sha": "main"}, "sha 'main'"),
    ({**STATED, "sha": SHA.upper()}, "sha"),
    ({**STATED, "sha": SHA + "\n"}, "sha"),
    ({**STATED, "gated": "yes"}, "gated 'yes'"),
    ({**STATED, "gated": 1}, "gated 1"),
    ({**STATED, "disabled": "no"}, "disabled 'no'"),
    ({**STATED, "downloads": -1}, "downloads: -1 is not a count"),
    ({**STATED, "downloads": 1.0}, "downloads: 1.0"),
    ({**STATED, "downloads": True}, "downloads: True"),
    ({**STATED, "downloads": 10**400}, "downloads: of 1329 bits is not a count"),
    ({**STATED, "safetensors": 7}, "safetensors 7 has no counts"),
    ({**STATED, "safetensors": {"total": 7}}, "safetensors of type dict"),
    ({**STATED, "safetensors": {"parameters": {"BF16": -1}}}, "safetensors: -1 is not a count"),
    ({**STATED, "safetensors": {"parameters": {"BF16": "7"}}}, "safetensors: '7' is not a count"),
    ({**STATED, "safetensors": {"parameters": {f"D{n}": 1 << 53 for n in range(8)}}}, "beyond any checkpoint"),
    ({**STATED, "tags": "llama"}, "tags 'llama'"),
    ({**STATED, "tags": ["t"] * 1001}, "tags of type list with 1001 parts"),
    ({**STATED, "lastModified": "yesterday"}, "lastModified 'yesterday'"),
    ({**STATED, "lastModified": 7}, "lastModified 7"),
]


@pytest.mark.parametrize(("data", "said"), BAD)
def test_a_row_that_lies_is_bad(data: object, said: str) -> None:
    with pytest.raises(BadRow) as caught:
        read_row(data)

    assert said in str(caught.value)


def test_bad_rows_are_reported_and_cost_their_neighbours_nothing() -> None:
    rows = [row for data, _ in BAD for row in (data, {**STATED, "id": f"org/after-{len(str(data))}"})]
    with Answers(lambda path: page(*rows)) as hub:
        (found,) = pages(ALL, api=api_of(hub))

    assert (len(found.rows), len(found.bad), found.listed) == (len(BAD), len(BAD), len(rows))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["id", "sha", *EXPAND]), JSON), st.booleans())
def test_whatever_a_row_says_it_is_checked_or_bad(data: dict[str, Any], named: bool) -> None:
    try:
        row = read_row({**data, **(STATED if named else {})})
    except BadRow:
        return

    assert is_model_id(row.model_id)
    assert row.size is None or row.size >= 0
    assert all(map(is_model_id, row.base_models))
    assert all(t is None or t.isprintable() for t in (row.architecture, row.model_type, row.library, row.relation))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_rows_or_no_page(body: bytes) -> None:
    try:
        rows, bad = listing._rows(bytearray(body))
    except listing._Garbled:
        return

    assert len(rows) + len(bad) == len(json.loads(body))


# --- links ---

ELSEWHERE = [
    "http://evil.example/api/models?cursor=1",
    "https://{host}/api/models?cursor=1",
    "http://{host}:1/api/models?cursor=1",
    "http://user@{host}/api/models?cursor=1",
    "http://{host}@evil.example/api/models?cursor=1",
    "//evil.example/api/models",
    "http://{host}/api/models/../datasets",
    "http://{host}/api/datasets?cursor=1",
    "http://{host}/api/models/?cursor=1",
    "http://{host}/api/models?cursor=1#x",
    "http://{host}/api/models?cursor=" + "x" * 9000,
    "file:///etc/passwd",
    "http://[::1/api/models",
    "\\\\evil.example/api/models",
    "/resolve/x",
]


@pytest.mark.parametrize("link", ELSEWHERE)
def test_a_next_page_that_is_elsewhere_is_not_asked_for(link: str) -> None:
    with Answers(lambda path: page(STATED, link=link.format(host=hub.url.removeprefix("http://")))) as hub:
        said = failure(hub)

        assert ("not this listing; not followed" in said, len(hub.asked)) == (True, 1)


def test_the_token_goes_to_the_listing_alone() -> None:
    with (
        Answers(lambda path: page()) as evil,
        Answers(lambda path: page(STATED, link=f"{evil.url}/api/models?cursor=1")) as hub,
    ):
        failure(hub)

        assert ([a.token for a in hub.asked], evil.asked) == ([f"Bearer {TOKEN}"], [])


def test_a_redirect_is_not_followed() -> None:
    with (
        Answers(lambda path: page()) as evil,
        Answers(lambda path: Answer(status=302, headers={"Location": f"{evil.url}/api/models"})) as hub,
    ):
        failure(hub)

        assert evil.asked == []


@pytest.mark.parametrize("link", ELSEWHERE)
def test_a_place_in_the_notes_that_is_elsewhere_is_not_asked_for(link: str) -> None:
    with Answers(lambda path: page()) as hub:
        with pytest.raises(DiscoveryError):
            list(pages(ALL, link.format(host=hub.url.removeprefix("http://")), api=api_of(hub)))

        assert hub.asked == []


def test_a_relative_link_is_followed_on_the_same_listing() -> None:
    with Answers(lambda path: page(STATED, link=None if "cursor" in path else "/api/models?cursor=1")) as hub:
        assert names(list(pages(ALL, api=api_of(hub)))) == ["org/name", "org/name"]


def test_a_page_that_links_to_itself_is_refused() -> None:
    with Answers(lambda path: page(STATED, link="/api/models?cursor=1")) as hub:
        assert "does not end" in failure(hub)


def test_empty_pages_without_end_are_refused() -> None:
    with Answers(lambda path: page(link=f"/api/models?cursor={len(hub.asked)}")) as hub:
        assert "does not end" in failure(hub)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.tuples(*[st.sampled_from(["http:", "//", "/", "hub", "evil", "api", "models", "?", "@",
    "\\", ":80", "#", "..", "%2f", " "])] * 5).map("".join))  # fmt: skip
def test_no_link_leads_away(link: str) -> None:
    try:
        url = listing.next_url(link, "http://hub/api/models?cursor=0", "http://hub")
    except DiscoveryError:
        return

    assert url == "http://hub/api/models" or url.startswith("http://hub/api/models?")


# --- failures ---


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"[", b"[NaN", b'{"error": "busy"}', b"[" * 100_000, b"\xff", b"[1" + b"0" * 5000 + b"]",
     json.dumps([0] * 10_001).encode()],
)  # fmt: skip
def test_an_answer_that_is_no_page_is_an_error_and_not_an_empty_listing(body: bytes) -> None:
    with Answers(lambda path: Answer(body)) as hub:
        assert "the listing failed" in failure(hub)


def test_a_page_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_PAGE", 1_000_000)
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    with Answers(lambda path: Answer(bomb, headers={"Content-Encoding": "gzip"})) as hub:
        assert "more than 1000000 bytes" in failure(hub)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_listing_is_an_error_and_not_an_empty_one(hub: Hub, status: int) -> None:
    hub.fault("status", "/api/models", status=status)

    assert "the listing failed" in failure(hub)


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 503}),
    ("status", {"status": 500}),
    ("cut", {"after": None}),
    ("cut", {"after": 0}),
    ("cut", {"after": 100}),
    ("truncate", {"keep": 100}),
    ("length", {"add": -20}),
]


@pytest.mark.parametrize("kth", [1, 2, 3])
@pytest.mark.parametrize(("kind", "arguments"), FAULTS)
def test_a_request_that_fails_once_loses_and_doubles_nothing(
    hub: Hub, kind: str, arguments: dict[str, Any], kth: int
) -> None:
    hub.fault(kind, "/api/models", nth=kth, **arguments)

    found = list(pages(ALL, api=api_of(hub)))

    assert (names(found), sum(p.requests for p in found)) == (synthetic(*range(7)), 4)


@pytest.mark.parametrize("kth", [1, 2, 3])
def test_a_listing_that_fails_for_good_says_so_and_the_next_walk_goes_on_there(
    hub: Hub, tmp_path: Path, kth: int
) -> None:
    index, policy = Index(tmp_path), Policy(listing=ALL)
    index.ensure()
    hub.fault("truncate", "/api/models", keep=5, nth=kth, times=1000)
    with State.open(index) as state, pytest.raises(DiscoveryError):
        list(walk.walk(policy, state, index, api=api_of(hub)))
    hub.clear()

    with State.open(index) as state:
        steps = list(walk.walk(policy, state, index, api=api_of(hub)))

    assert (len(steps), steps[-1].place.rows, steps[-1].place.pages) == (4 - kth, 7, 3)


def test_a_place_that_the_hub_no_longer_takes_means_from_the_start(hub: Hub, tmp_path: Path) -> None:
    index, policy = Index(tmp_path), Policy(listing=ALL)
    index.ensure()
    with State.open(index) as state:
        next(walk.walk(policy, state, index, api=api_of(hub)))
    hub.fault("status", "cursor", status=400, times=1)

    with State.open(index) as state:
        steps = list(walk.walk(policy, state, index, api=api_of(hub)))
        waiting = state.waiting(steps[-1].place.query)[0]

    assert (steps[-1].place.rows, waiting) == (7, 7)
