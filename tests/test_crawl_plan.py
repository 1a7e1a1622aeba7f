"""What a crawl would do, before anything is read: totals that are those of the listing, however long it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from swindex.crawler.crawling import plan as planning
from swindex.crawler.crawling.decide import queued
from swindex.crawler.crawling.plan import Plan
from swindex.crawler.crawling.policy import Policy
from swindex.crawler.crawling.row import Row
from swindex.crawler.crawling.state import Known, Noted, Queued, State
from swindex.crawler.crawling.walk import listing_of, walk
from swindex.crawler.parts.result import DETECTOR
from swindex.index.store import Index

from . import records as make
from .answers import Answer, Answers
from .hub import Hub
from .hub.synthetic import SIZES

MODELS = 10


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub that lists MODELS models in BF16, four on a page; their sizes take turns."""
    with Hub(synthetic=MODELS, page_size=4) as started:
        yield started


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An empty index."""
    made = Index(tmp_path / "index")
    made.ensure()
    return made


def planned(hub: Hub | Answers, index: Index | None, policy: Policy | None = None, **more: Any) -> Plan:
    """The plan for that Hub."""
    with State.read(index) as state:
        return planning.plan(policy or Policy(), state, index, api=HfApi(endpoint=hub.url), **more)


def learn(hub: Hub, index: Index, *numbers: int) -> None:
    """Let the crawl know that these models were scanned at their commits."""
    with State.open(index) as state:
        facts = [hub.state.synthetic.facts(n) for n in numbers]
        state.learn(*(Known(f["id"], f["sha"], DETECTOR, "none_found", make.TIME, "c" * 64) for f in facts))


def test_the_totals_are_those_of_what_would_be_scanned(hub: Hub, index: Index) -> None:
    learn(hub, index, 0, 1)
    sizes = [2 * SIZES[n % 4] for n in range(2, MODELS)]

    made = planned(hub, index).as_json()

    assert [made[k] for k in ("scan", "skip", "bytes", "bytes_unknown_for", "requests")] == [
        MODELS - 2,
        2,
        sum(sizes),
        0,
        sum(12 + size // 2**25 for size in sizes),
    ]


def test_what_would_be_skipped_is_counted_by_its_reason(hub: Hub, index: Index) -> None:
    learn(hub, index, 0)

    made = planned(hub, index, Policy().but(models={"max_bytes": 2 * SIZES[1]})).as_json()

    large = sum(SIZES[n % 4] > SIZES[1] for n in range(MODELS))
    assert (made["skip_by_reason"], made["scan_by_reason"]) == (
        {"too large": large, "already scanned": 1},
        {"new": MODELS - large - 1},
    )


def test_the_first_rows_are_shown_and_the_others_are_counted(hub: Hub, index: Index) -> None:
    made = planned(hub, index, shown=3).as_json()

    assert ([row["model_id"] for row in made["models"]], made["models_not_shown"], made["scan"]) == (
        [f"synthetic/model-{n:07d}" for n in range(3)],
        MODELS - 3,
        MODELS,
    )


def test_a_row_says_what_and_why(hub: Hub, index: Index) -> None:
    learn(hub, index, 0)
    first = hub.state.synthetic.facts(0)

    assert planned(hub, index).as_json()["models"][0] == {
        "model_id": first["id"],
        "revision": first["sha"],
        "action": "skip",
        "reason": "already scanned at this commit: none_found",
        "bytes": 2 * SIZES[0],
        "requests": 0,
    }


def test_a_plan_asks_for_the_pages_of_the_listing_alone(hub: Hub, index: Index) -> None:
    planned(hub, index)

    assert [entry.path for entry in hub.log.entries] == ["/api/models"] * 3


def test_a_plan_says_what_the_listing_cost(hub: Hub, index: Index) -> None:
    cost = planned(hub, index).as_json()["listing"]

    assert cost == {"pages": 3, "requests": 3, "bytes": hub.log.sent()}


def test_a_plan_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    planned(hub, None)

    assert list(tmp_path.iterdir()) == []


def test_a_plan_moves_no_place_in_the_listing(hub: Hub, index: Index) -> None:
    with State.open(index) as state:
        place = next(walk(Policy(), state, index, api=HfApi(endpoint=hub.url))).place
    planned(hub, index)

    with State.read(index) as state:
        assert state.place(place.query) == place


def test_rows_that_cannot_be_believed_are_counted_and_the_first_are_shown(index: Index) -> None:
    rows = [{"id": f"bad {n}"} for n in range(5)]
    with Answers(lambda path: Answer(json.dumps(rows).encode())) as hub:
        made = planned(hub, index, shown=2).as_json()

    assert (made["bad_rows"], made["bad"]) == (
        5,
        [f"row {n}: id 'bad {n}' is not of the form org/name" for n in range(2)],
    )


def test_a_model_of_unknown_size_is_counted_apart(index: Index) -> None:
    rows = [{"id": "org/a", "sha": "a" * 40}]
    with Answers(lambda path: Answer(json.dumps(rows).encode())) as hub:
        made = planned(hub, index).as_json()

    assert (made["scan"], made["bytes"], made["bytes_unknown_for"], made["requests"]) == (1, 0, 1, 12)


# --- rate ---


def test_without_any_scan_the_rate_is_assumed(hub: Hub, index: Index) -> None:
    made = planned(hub, index).as_json()

    assert (made["bytes_per_second"], made["rate_measured"]) == (50e6, False)


def test_the_rate_is_that_of_the_indexs_scans(hub: Hub, index: Index) -> None:
    index.append(make.found())  # 4096 bytes in 1.5 seconds
    made = planned(hub, index).as_json()

    assert (made["bytes_per_second"], made["rate_measured"]) == (4096 / 1.5, True)


def test_the_rate_is_rather_that_of_the_crawls_own_attempts(hub: Hub, index: Index) -> None:
    index.append(make.found())
    with State.open(index) as state:
        state.done(Noted("run", "org/a", None, "scan", "found", bytes=100, seconds=2.0))

    assert planned(hub, index).as_json()["bytes_per_second"] == 50.0


def test_workers_share_the_time(hub: Hub, index: Index) -> None:
    alone, four = (planned(hub, index, Policy().but(workers={"count": n})).seconds for n in (1, 4))

    assert four == alone / 4


# --- what a walk does of it ---


def test_a_walk_queues_what_the_plan_said_and_asks_for_nothing_else(hub: Hub, index: Index) -> None:
    learn(hub, index, 0, 5)
    made = planned(hub, index)
    hub.log.reset()
    with State.open(index) as state:
        place = list(walk(Policy(), state, index, api=HfApi(endpoint=hub.url)))[-1].place
        jobs = state.take("run", place.query, MODELS)

    wanted = [d.row.model_id for d in made.rows if d.action == "scan"]
    assert ([q.job.model_id for q in jobs], place.eligible, place.indexed) == (wanted, MODELS - 2, 2)
    assert [entry.path for entry in hub.log.entries] == ["/api/models"] * 3


def test_a_listing_in_which_nothing_changed_costs_its_pages(hub: Hub, index: Index) -> None:
    learn(hub, index, *range(MODELS))
    with State.open(index) as state:
        place = list(walk(Policy(), state, index, api=HfApi(endpoint=hub.url)))[-1].place
        waiting = state.waiting(place.query)

    assert (waiting, place.indexed, hub.log.count()) == ((0, 0, 0), MODELS, 3)


def test_a_new_commit_of_a_known_model_is_queued(hub: Hub, index: Index) -> None:
    with State.open(index) as state:
        state.learn(Known("synthetic/model-0000003", "f" * 40, DETECTOR, "found", make.TIME, "c" * 64))
        place = list(walk(Policy(), state, index, api=HfApi(endpoint=hub.url)))[-1].place

    assert place.eligible == MODELS


SHA = "a" * 40


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("listing", {"author": "org"}),
        ("models", {"max_bytes": (1 << 53) - 1}),
        ("models", {"retry_failed": True}),
        ("fine_tunes", {"survival": "off"}),
    ],
)
def test_another_policy_is_another_walk(section: str, values: dict[str, Any]) -> None:
    assert listing_of(Policy().but(**{section: values}), "http://hub") != listing_of(Policy(), "http://hub")


@pytest.mark.parametrize(("section", "values"), [("workers", {"count": 9}), ("budget", {"hours": 1.0})])
def test_what_a_run_may_spend_makes_no_other_walk(section: str, values: dict[str, Any]) -> None:
    assert listing_of(Policy().but(**{section: values}), "http://hub") == listing_of(Policy(), "http://hub")


def test_another_hub_is_another_walk() -> None:
    assert listing_of(Policy(), "http://other") != listing_of(Policy(), "http://hub")


@pytest.mark.parametrize(
    ("survival", "row", "kind", "base"),
    [
        ("then_scan", Row("org/a", SHA), "scan", None),
        ("then_scan", Row("org/a", SHA, base_models=("org/b",), relation="finetune"), "look", "org/b"),
        ("enough", Row("org/a", SHA, base_models=("org/b",)), "look", "org/b"),
        ("off", Row("org/a", SHA, base_models=("org/b",), relation="finetune"), "scan", None),
        ("then_scan", Row("org/a", SHA, base_models=("org/b", "org/c"), relation="merge"), "scan", None),
        ("then_scan", Row("org/a", SHA, base_models=("org/b",), relation="merge"), "scan", None),
    ],
)
def test_a_fine_tune_is_looked_at_after_the_base_models(survival: str, row: Row, kind: str, base: str | None) -> None:
    job: Queued = queued(row, Policy().but(fine_tunes={"survival": survival}))

    assert (job.kind, job.base_model, job.priority) == (kind, base, int(kind == "look"))
