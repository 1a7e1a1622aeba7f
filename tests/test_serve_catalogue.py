"""The catalogue: the same rows out of records and out of DuckDB, and the same catalogue however it came about."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swindex.api.reading import shipped
from swindex.api.service.catalogue import Catalogue, Row, Wanted, named, row_of
from swindex.api.service.cataloguing import _filed, read_catalogue
from swindex.api.service.held import HeldIndex
from swindex.index.database import build
from swindex.index.errors import StoreError
from swindex.index.store import Index
from swindex.index.versions import withdraw

from . import records as make
from .served import copy_of_shipped


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The shipped index with scans, a failed one, one that found nothing, and a withdrawn record beside it."""
    made = Index(copy_of_shipped(tmp_path_factory.mktemp("index")))
    for record in (make.found(), make.none_found("org/Empty"), make.failed("ORG2/failed"), make.reported("org/said")):
        made.append(record)
    made.add("org/tiny", lambda record: withdraw(record, "wrong", make.TIME), "tester", make.TIME)  # type: ignore[arg-type]
    build(made)
    return made


def from_records(held: HeldIndex) -> list[Row]:
    return list(Catalogue(row_of(found.record) for found in held.reader.everything()))


def test_the_rows_of_the_database_are_those_of_the_records(index: Index) -> None:
    held = HeldIndex(index.directory)

    assert list(_filed(index.directory, held)) == from_records(held)
    assert len(from_records(held)) == 74


def test_what_was_appended_after_the_database_is_in_the_catalogue(index: Index, tmp_path: Path) -> None:
    copied = Index(copy_of_shipped(tmp_path / "index"))
    build(copied)
    copied.append(make.found("new/model"))

    held = HeldIndex(copied.directory)

    assert list(_filed(copied.directory, held)) == from_records(held)


def test_the_database_of_another_index_is_not_read(index: Index, tmp_path: Path) -> None:
    other = Index(tmp_path / "other")
    other.append(make.found())
    (tmp_path / "other" / "index.duckdb").write_bytes(index.database.read_bytes())
    held = HeldIndex(other.directory)

    with pytest.raises(StoreError):
        _filed(other.directory, held)
    assert [row.id for row in read_catalogue(other.directory, held)] == ["org/tiny"]


def test_a_damaged_database_is_not_read(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.append(make.found())
    index.database.write_bytes(b"nothing" * 100)

    assert [row.id for row in read_catalogue(tmp_path, HeldIndex(tmp_path))] == ["org/tiny"]


# --- pages and changes ---

IDS = st.lists(st.from_regex(r"[A-Ca-c]{1,2}/[A-Ca-c]{1,2}", fullmatch=True), unique_by=str.lower, max_size=40)


def row(model_id: str, outcome: str = "found", verdict: str = "inert") -> Row:
    return named(model_id, None, None, "Llama", outcome, 1, verdict, make.TIME, ["x.Down_proj"])


@given(IDS, IDS)
def test_changed_rows_take_the_place_of_others(before: list[str], after: list[str]) -> None:
    old = Catalogue(map(row, before))

    new = old.changed(row(model_id, "none_found") for model_id in after)

    expected = {m.lower(): row(m) for m in before} | {m.lower(): row(m, "none_found") for m in after}
    assert list(new) == [expected[key] for key in sorted(expected)]
    assert list(old) == [row(m) for m in sorted(before, key=str.lower)]


def test_many_changed_rows_are_sorted_in() -> None:
    old = Catalogue(row(f"o/m{n:04}") for n in range(0, 1000, 2))

    new = old.changed(row(f"o/m{n:04}", "none_found") for n in range(0, 1000, 3))

    assert [each.key for each in new] == sorted({f"o/m{n:04}" for n in (*range(0, 1000, 2), *range(0, 1000, 3))})
    assert new.find("O/M0006") == row("o/m0006", "none_found")
    assert new.find("o/m0002") == row("o/m0002")


@given(IDS, st.integers(1, 5))
def test_pages_are_the_whole_in_order(models: list[str], limit: int) -> None:
    catalogue, found, after, more = Catalogue(map(row, models)), [], "", True
    while more:
        rows, more = catalogue.page(Wanted(), after, limit)
        found += rows
        after = rows[-1].id if rows else after

    assert found == list(catalogue)


def test_a_page_goes_on_after_a_model_that_is_gone() -> None:
    rows, more = Catalogue([row("a/a"), row("a/c")]).page(Wanted(), "a/b", 9)

    assert ([each.id for each in rows], more) == (["a/c"], False)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted("DOWN_PROJ"), True),
        (Wanted("a/B"), True),
        (Wanted("llamax"), False),
        (Wanted(family="LLAMA"), True),
        (Wanted(family="lla"), False),
        (Wanted(verdict="inert"), True),
        (Wanted("a/b", "llama", "confirmed"), False),
    ],
)
def test_what_is_wanted_is_found(wanted: Wanted, fits: bool) -> None:
    assert bool(Catalogue([row("A/b")]).page(wanted, "", 1)[0]) is fits


def test_the_shipped_index_is_small_enough_to_be_read_at_once() -> None:
    assert len(read_catalogue(shipped(), HeldIndex(shipped()))) == 70
