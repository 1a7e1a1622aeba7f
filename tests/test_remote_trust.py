"""What a client remembers of a source, and copies that were edited, cut off, rolled back or forked.

An edited copy either answers as the true one or is an error; that is tried for every byte of a small release.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swindex.api import Client
from swindex.api.main import main
from swindex.api.remote.cache import Cache
from swindex.api.remote.fetch import Folder, modest
from swindex.api.remote.reader import Remote
from swindex.api.remote.seen import Asked, Forked, Memory, WentBack, ask
from swindex.api.remote.site import Site
from swindex.index.errors import DamagedFeed, DamagedRelease, StoreError
from swindex.index.store import Index
from swindex.schema.errors import SwindexError

from . import records as make
from . import released

TREE = "7" * 64


# --- what is remembered ---


def write_feed(folder: Path, count: int, *, told: str = "a", since: int = 0, chain: str = "0" * 64) -> str:
    """Changes and root of a release of `count` changes, by the formula of the chain; the last chain.

    Those up to `since` say "a", whatever those after say.
    """
    lines, chains = [], [chain]
    for seq in range(1, count + 1):
        digest = ("a" if seq <= since else told) * 64
        said = {"digest": digest, "model_id": "org/m", "outcome": "found", "seq": seq}
        said |= {"time": "2026-11-21T00:00:00Z", "version": seq, "withdrawn": False}
        text = json.dumps(said, separators=(",", ":"))
        chains.append(hashlib.sha256(f"{chains[-1]}\n{text}".encode()).hexdigest())
        lines.append(f'{{"chain":"{chains[-1]}",{text[1:]}\n')
    (folder / "changes").mkdir(parents=True, exist_ok=True)
    for start in range(0, count, 1000):
        part = lines[start : start + 1000]
        (folder / "changes" / f"{start // 1000:06d}.{len(part)}.jsonl").write_text("".join(part))
    write_root(folder, count, chains[-1])
    return chains[-1]


def write_root(folder: Path, count: int, chain: str, **more: Any) -> None:
    root: dict[str, Any] = {"chain": chain, "crawl": None, "files": {}, "format": 1, "models": min(count, 1)}
    root |= {"newest": "2026-11-21T00:00:00Z" if count else None, "previous": None, "schema": "1.2", "seq": count}
    (folder / "root.json").write_text(json.dumps({**root, "released": released.RELEASED, "tree": TREE, **more}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "release"


@pytest.fixture
def asked(folder: Path, tmp_path: Path) -> Callable[[], Asked]:
    return lambda: ask(Folder(folder), Memory(tmp_path / "home", str(folder)))


@pytest.mark.parametrize(("before", "now"), [(0, 1), (0, 0), (1, 3), (3, 3), (999, 1000), (1000, 1001), (998, 2500)])
def test_an_index_that_grew_is_followed(folder: Path, asked: Callable[[], Asked], before: int, now: int) -> None:
    write_feed(folder, before)
    asked()
    write_feed(folder, now)

    assert asked().root.seq == now


def test_an_index_that_went_back_is_an_error(folder: Path, asked: Callable[[], Asked]) -> None:
    write_feed(folder, 3)
    asked()
    write_feed(folder, 2)

    with pytest.raises(WentBack, match=r"went back: it ends at change 2, but had 3; .* forget it: rm /.*\.json$"):
        asked()


@pytest.mark.parametrize(
    ("before", "now", "same"), [(3, 3, 2), (3, 5, 2), (3, 5, 0), (1500, 2500, 1499), (1000, 1001, 999)]
)
def test_an_index_with_another_past_is_an_error(
    folder: Path, asked: Callable[[], Asked], before: int, now: int, same: int
) -> None:
    write_feed(folder, before)
    asked()
    write_feed(folder, now, told="b", since=same)

    with pytest.raises(Forked, match=f"forked: what it holds up to change {before} is not what it was"):
        asked()


def test_the_same_changes_with_another_tree_are_an_error(folder: Path, asked: Callable[[], Asked]) -> None:
    chain = write_feed(folder, 3)
    asked()
    write_root(folder, 3, chain, tree="8" * 64)

    with pytest.raises(Forked):
        asked()


def test_the_same_changes_released_again_are_no_error(folder: Path, asked: Callable[[], Asked]) -> None:
    chain = write_feed(folder, 3)
    asked()
    write_root(folder, 3, chain, released="2026-11-22T00:00:00Z")

    assert asked().root.released == "2026-11-22T00:00:00Z"


def test_a_fork_is_not_remembered(folder: Path, asked: Callable[[], Asked]) -> None:
    write_feed(folder, 3)
    asked()
    write_feed(folder, 5, told="b")
    with pytest.raises(Forked):
        asked()
    write_feed(folder, 4)

    assert asked().root.seq == 4


def test_what_is_forgotten_is_not_compared(folder: Path, asked: Callable[[], Asked], tmp_path: Path) -> None:
    write_feed(folder, 3)
    asked()
    Memory(tmp_path / "home", str(folder)).path.unlink()  # type: ignore[union-attr]
    write_feed(folder, 2)

    assert asked().root.seq == 2


def test_changes_that_are_cut_off_are_an_error(folder: Path, asked: Callable[[], Asked]) -> None:
    write_feed(folder, 3)
    asked()
    write_feed(folder, 5)
    path = folder / "changes" / "000000.5.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(DamagedFeed, match=r"000000\.5\.jsonl: not the 5 changes that its name says"):
        asked()


def test_changes_that_do_not_end_in_the_root_are_an_error(folder: Path, asked: Callable[[], Asked]) -> None:
    write_feed(folder, 3)
    asked()
    write_feed(folder, 5)
    write_root(folder, 5, "9" * 64)

    with pytest.raises(Forked):
        asked()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"root":1,"etag":null,"checked":"x"}', b"[" * 100_000, b"\xff"]
)
def test_a_damaged_memory_is_an_error(folder: Path, asked: Callable[[], Asked], tmp_path: Path, content: bytes) -> None:
    write_feed(folder, 3)
    asked()
    Memory(tmp_path / "home", str(folder)).path.write_bytes(content)  # type: ignore[union-attr]

    with pytest.raises(StoreError, match=r"damaged, so .* cannot be compared with what it was; delete it"):
        asked()


def test_each_source_is_remembered_apart(tmp_path: Path) -> None:
    write_feed(tmp_path / "a", 3)
    write_feed(tmp_path / "b", 2)

    for name in ("a", "b"):
        ask(Folder(tmp_path / name), Memory(tmp_path / "home", name))


# --- copies that were edited ---


@pytest.fixture(scope="module")
def true(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small release: three models, one of two versions, a tree of two levels."""
    index = Index(tmp_path_factory.mktemp("index"))
    first = make.found("org/two")
    for record in (first, make.reported("org/reported"), make.none_found("org/two", make.OTHER_REVISION, first)):
        index.append(record)
    index.append(make.failed("org/failed"))
    target = tmp_path_factory.mktemp("true")
    released.write(index.directory, target, leaf=1)
    return target


@pytest.fixture
def copy(true: Path, tmp_path: Path) -> Path:
    return shutil.copytree(true, tmp_path / "copy")


def opened(release: Path) -> Remote:
    return Remote(Site(Folder(release), Cache(None), Memory(None, "")))


def answers(release: Path) -> dict[str, Any]:
    """What each question gets, or the class of its error; anything but SwindexError is raised."""
    questions: dict[str, Callable[[Remote], Any]] = {
        "newest": lambda r: [r.newest(m) for m in ("org/two", "org/reported", "org/failed", "org/none")],
        "history": lambda r: r.history("org/two"),
        "models": lambda r: r.model_ids(),
        "everything": lambda r: sorted(f.line for f in r.everything()),
        "changes": lambda r: list(r.back()),
    }
    return {name: outcome(lambda ask=ask: ask(opened(release))) for name, ask in questions.items()}


def outcome(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except SwindexError as error:
        return type(error) if "\n" not in str(error) else f"an error of several lines: {error}"


def is_error(answer: Any) -> bool:
    return isinstance(answer, type) and issubclass(answer, SwindexError)


def check_edited(release: Path, expected: dict[str, Any]) -> None:
    for name, found in answers(release).items():
        assert found == expected[name] or is_error(found), name


def files(release: Path, under: str) -> Iterator[Path]:
    return (path for path in sorted(release.rglob("*")) if path.is_file() and under in str(path.relative_to(release)))


@pytest.mark.parametrize("under", ["root.json", "nodes", "changes"])
def test_no_edited_byte_changes_an_answer(true: Path, copy: Path, under: str) -> None:
    expected, drawn = answers(true), random.Random(1)
    for path in files(copy, under):
        data = path.read_bytes()
        for at in range(0, len(data), 1 if len(data) < 800 else 7):
            path.write_bytes(data[:at] + bytes([data[at] ^ drawn.randrange(1, 256)]) + data[at + 1 :])
            check_edited(copy, expected)
        path.write_bytes(data)


def test_no_edited_byte_of_a_version_changes_an_answer(true: Path, copy: Path) -> None:
    expected, drawn = answers(true), random.Random(1)
    [path] = files(copy, "versions")
    data = path.read_bytes()
    for _ in range(400):
        at = drawn.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ drawn.randrange(1, 256)]) + data[at + 1 :])
        check_edited(copy, expected)


@pytest.mark.parametrize("under", ["root.json", "nodes", "changes", "versions"])
def test_no_file_that_is_cut_off_or_continued_changes_an_answer(true: Path, copy: Path, under: str) -> None:
    expected = answers(true)
    for path in files(copy, under):
        data = path.read_bytes()
        for edited in (b"", data[:-1], data[: len(data) // 2], data + b" ", data + b"\n{}", data + data):
            path.write_bytes(edited)
            check_edited(copy, expected)
        path.write_bytes(data)


@pytest.mark.parametrize("under", ["root.json", "nodes", "changes", "versions"])
def test_a_missing_file_is_an_error_or_not_needed(true: Path, copy: Path, under: str) -> None:
    expected = answers(true)
    for path in files(copy, under):
        data = path.read_bytes()
        path.unlink()
        found = answers(copy)
        assert any(is_error(each) for each in found.values())
        assert all(is_error(each) or each == expected[name] for name, each in found.items())
        path.write_bytes(data)


def test_the_true_release_answers_everything(true: Path) -> None:
    assert [name for name, found in answers(true).items() if is_error(found)] == []


def test_a_version_in_the_place_of_another_is_an_error(copy: Path) -> None:
    [path] = files(copy, "versions")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[2].ljust(len(lines[0])), *lines[1:]]))

    assert [is_error(answers(copy)[name]) for name in ("history", "newest")] == [True, False]


# --- copies made by somebody who knows the format ---

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    2**53,
    10**30,
    1e308,
    "",
    "../../../etc/passwd",
    "\x1b[31m",
    "x" * 5000,
    [],
    {},
    [[]],
    {"models": {}},
    "f" * 64,
    "org/two",
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in a document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def edited(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = edited(value[path[0]], path[1:], new)
    return copied


def reseal(release: Path, at: Path, value: Any) -> None:
    """Put a document in place of a node, and correct every digest above it."""
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    target = release / "nodes" / digest[:2] / f"{digest}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    old = at.stem
    for path in (release / "root.json", *(release / "nodes").glob("*/*.json")):
        text = path.read_text()
        if path != target and old in text and path.name == "root.json":
            path.write_text(text.replace(old, digest))
        elif path != target and old in text:
            reseal(release, path, json.loads(text.replace(old, digest)))


def test_a_node_of_a_forger_is_answered_or_refused(true: Path, tmp_path: Path) -> None:
    for node in files(true, "nodes"):
        value = json.loads(node.read_bytes())
        for number, path in enumerate(places(value)):
            new = HOSTILE[number % len(HOSTILE)]
            copy = shutil.copytree(true, tmp_path / f"{node.stem}-{number}")
            reseal(copy, copy / node.relative_to(true), edited(value, path, new))
            answers(copy)


def test_a_root_of_a_forger_is_answered_or_refused(true: Path, copy: Path) -> None:
    value = json.loads((true / "root.json").read_bytes())
    for path in places(value):
        for new in HOSTILE:
            (copy / "root.json").write_text(json.dumps(edited(value, path, new)))
            answers(copy)


def forged(release: Path, record: Any, before: str = '"provenance":{') -> None:
    """Make this document the newest version of org/reported, digest and tree right; the digest stands at `before`."""
    provenance = {k: v for k, v in record["provenance"].items() if k != "digest"}
    body = json.dumps({**record, "provenance": provenance}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    line = body.replace(before, f'{before}"digest":"{digest}",', 1).encode()
    [versions] = files(release, "versions")
    offset = len(versions.read_bytes())
    versions.write_bytes(versions.read_bytes() + line + b"\n")
    leaf = next(path for path in files(release, "nodes") if b'"org/reported"' in path.read_bytes())
    reseal(release, leaf, {"models": {"org/reported": [digest, [[2, offset, len(line)]]]}})


@pytest.mark.parametrize(
    ("models", "why"), [(2, "more models than the 2 its root says"), (4, "3 models, its root says 4")]
)
def test_a_tree_that_has_not_the_models_of_its_root_is_an_error(copy: Path, models: int, why: str) -> None:
    root = json.loads((copy / "root.json").read_bytes())
    (copy / "root.json").write_text(json.dumps({**root, "models": models}))

    with pytest.raises(DamagedRelease, match=why):
        opened(copy).model_ids()


@pytest.mark.parametrize("changed", [{"version": 2}, {"previous": "f" * 64}])
def test_a_forged_version_without_its_past_is_an_error(copy: Path, changed: dict[str, Any]) -> None:
    record = make.found("org/reported").model_dump(mode="json")
    forged(copy, {**record, "provenance": {**record["provenance"], **changed}})

    with pytest.raises(DamagedRelease, match=r"another version than the index says|its first version follows another"):
        opened(copy).history("org/reported")


def test_a_digest_that_stands_elsewhere_is_an_error(copy: Path) -> None:
    record = make.found("org/reported").model_dump(mode="json")
    forged(copy, record, '"model":{')

    with pytest.raises(DamagedRelease, match="another version than the index says"):
        opened(copy).newest("org/reported")


def test_versions_that_would_fill_the_memory_are_not_read(copy: Path) -> None:
    leaf = next(path for path in files(copy, "nodes") if b'"org/two"' in path.read_bytes())
    reseal(copy, leaf, {"models": {"org/two": ["a" * 64, [[n, 0, 1 << 26] for n in (1, 2, 3, 4)]]}})

    with pytest.raises(StoreError, match="the versions of org/two are more than"):
        opened(copy).history("org/two")


def test_changes_that_do_not_begin_at_the_beginning_are_an_error(folder: Path) -> None:
    write_feed(folder, 3, chain="1" * 64)

    with pytest.raises(DamagedFeed, match="change 1 is not the first"):
        list(opened(folder).back())


def test_no_digest_leads_out_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "home" / "versions").mkdir(parents=True)

    assert Cache(tmp_path / "home").kept("versions", "../secret") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_a_forged_record_is_found_as_it_is(copy: Path) -> None:
    record = make.found("org/reported").model_dump(mode="json")
    forged(copy, record)
    found = opened(copy).newest("org/reported")

    assert found is not None
    assert found.record["status"] == record["status"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), new=json_values | st.sampled_from(HOSTILE))
def test_a_version_of_a_forger_is_answered_or_refused(
    true: Path, tmp_path: Path, data: st.DataObject, new: Any
) -> None:
    record = make.found("org/reported").model_dump(mode="json")
    path = data.draw(st.sampled_from([path for path in places(record) if path]))
    copy = shutil.copytree(true, tmp_path / "forged", dirs_exist_ok=True)
    try:
        changed = edited(record, path, new)
        if not isinstance(changed.get("provenance"), dict):
            return
        forged(copy, changed)
        client = Client(copy)
        asked: tuple[Callable[[], Any], ...] = (
            lambda: client.lookup("org/reported"),
            lambda: client.lookup("org/reported@aaaaaaa", as_of="2026-11-22"),
            lambda: client.record("org/reported"),
            lambda: client.history("org/reported"),
            lambda: client.search("l"),
        )
        assert not any(str(outcome(each)).startswith("an error of several lines") for each in asked)
    finally:
        shutil.rmtree(copy)


def test_a_forged_record_steers_no_terminal(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = make.found("org/reported").model_dump(mode="json")
    record["model"]["revision"] = "\x1b[31mred"
    forged(copy, record)
    for asked in ("org/reported", "org/reported@abcdef0"):
        main(["lookup", asked, "--index", str(copy)])
    out, err = capsys.readouterr()

    assert "\x1b" not in out + err
    assert "known commits: ?[31mred" in err


# --- bytes that are nothing ---


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(under=st.sampled_from(["root.json", "nodes", "changes", "versions"]), data=st.binary(max_size=200))
@example(under="root.json", data=b"[" * 500_000)
@example(under="root.json", data=b'{"seq":' + b"9" * 100_000 + b"}")
@example(under="root.json", data=b'{"a":1,"a":2}')
@example(under="changes", data=b"\n" * 1000)
@example(under="root.json", data=b" " * 2_000_000)
def test_any_bytes_are_answered_or_refused(true: Path, tmp_path: Path, under: str, data: bytes) -> None:
    copy = shutil.copytree(true, tmp_path / "any", dirs_exist_ok=True)
    for path in files(copy, under):
        path.write_bytes(data)
    expected = answers(true)
    check_edited(copy, expected)
    shutil.rmtree(copy)


def test_many_values_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(DamagedRelease, match="more than 2000000 values"):
        modest("x", b"[" + b"[]," * 2_000_000 + b"[]]")
