"""Kept token ids: the same as made anew whatever lies in the cache, and nothing is kept that should not be."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from swindex.crawler.detection import tokencache
from swindex.crawler.detection.corpora import read_corpus, shipped_corpora
from swindex.crawler.detection.run import Options
from swindex.crawler.detection.tokens import Tokens, load_tokenizer
from swindex.crawler.scanning import scan

from .plants import disk
from .plants.shared import one_thread

__all__ = ["one_thread"]
SIZES = (3, 33)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SWINDEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the tokenizer of stories260k."""
    (tmp_path / "tokenizer").mkdir()
    return disk.add_tokenizer(tmp_path / "tokenizer")


@pytest.fixture
def tokens(files: Path) -> Tokens:
    """That tokenizer."""
    return load_tokenizer(files, "here")


def made(tokens: Tokens, windows: int = SIZES[0], window: int = SIZES[1]) -> list[list[int]]:
    """The windows of the first shipped text, made without a cache."""
    corpus = replace(shipped_corpora()[0], shipped=False)
    found: list[list[int]] = tokens.windows(corpus, windows, window).tolist()
    return found


def asked(tokens: Tokens, windows: int = SIZES[0], window: int = SIZES[1]) -> list[list[int]]:
    """The same by way of the cache."""
    found: list[list[int]] = tokens.windows(shipped_corpora()[0], windows, window).tolist()
    return found


def entries(cache: Path) -> list[Path]:
    """What lies in the cache."""
    return sorted(cache.iterdir()) if cache.exists() else []


def test_what_is_kept_is_what_is_made(cache: Path, tokens: Tokens) -> None:
    assert [asked(tokens), asked(tokens)] == [made(tokens)] * 2
    assert len(entries(cache)) == 1


def test_a_kept_entry_is_used(cache: Path, tokens: Tokens) -> None:
    asked(tokens)
    silent = Tokens(_Silent(len(tokens.tokenizer)), tokens.bos, tokens.digest)

    assert asked(silent) == made(tokens)


class _Silent:
    """A tokenizer that cannot be asked anything but its size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "not JSON": lambda _: b"{",
    "not UTF-8": lambda _: b"\xff\xfe\x00",
    "empty": lambda _: b"",
    "a list": lambda _: b"[]",
    "deep": lambda _: b"[" * 4000,
    "huge": lambda _: b" " * 100_000,
    "NaN": lambda e: {**e, "ids": [[float("nan")] * 33] * 3},
    "a missing key": lambda e: {"ids": e["ids"], "sha256": e["sha256"]},
    "another tokenizer's": lambda e: {**e, "key": {**e["key"], "tokenizer": "0" * 64}},
    "another text's": lambda e: {**e, "key": {**e["key"], "text": "0" * 64}},
    "other libraries'": lambda e: {**e, "key": {**e["key"], "libraries": {}}},
    "one id changed": lambda e: {**e, "ids": [[5, *e["ids"][0][1:]], *e["ids"][1:]]},
    "a window gone": lambda e: {**e, "ids": e["ids"][1:]},
    "signed ids out of range": lambda e: signed(e, [[512] * 33] * 3),
    "signed negative ids": lambda e: signed(e, [[-1] * 33] * 3),
    "signed truth values": lambda e: signed(e, [[True] * 33] * 3),
    "signed fractions": lambda e: signed(e, [[0.5] * 33] * 3),
    "signed windows too short": lambda e: signed(e, [[1] * 32] * 3),
    "signed windows too many": lambda e: signed(e, [[1] * 33] * 4),
    "signed nothing": lambda e: signed(e, []),
    "signed text": lambda e: signed(e, ["x" * 33] * 3),
}


def signed(entry: dict[str, Any], ids: Any) -> dict[str, Any]:
    """An entry of other ids with their own digest."""
    return {**entry, "ids": ids, "sha256": tokencache._digest(ids)}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_or_foreign_entry_is_ignored_and_rewritten(name: str, cache: Path, tokens: Tokens) -> None:
    asked(tokens)
    (path,) = entries(cache)
    good = path.read_bytes()
    bad = HOSTILE[name](json.loads(good))
    path.write_bytes(bad if isinstance(bad, bytes) else json.dumps(bad).encode())

    assert asked(tokens) == made(tokens)
    assert path.read_bytes() == good


def test_a_folder_or_pipe_in_an_entrys_place_is_stepped_over(cache: Path, tokens: Tokens) -> None:
    asked(tokens)
    (path,) = entries(cache)
    path.unlink()
    path.mkdir()

    assert asked(tokens) == made(tokens)
    path.rmdir()
    os.mkfifo(path)
    assert asked(tokens) == made(tokens)


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path, tokens: Tokens) -> None:
    cache.parent.write_text("a file in the folder's place")

    assert asked(tokens) == made(tokens)


def test_nothing_half_written_stays(cache: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "replace", refuse)

    assert asked(tokens) == made(tokens)
    assert entries(cache) == []


def test_each_size_and_text_has_an_entry_of_its_own(cache: Path, tokens: Tokens) -> None:
    for windows, window in ((1, 33), (3, 33), (3, 34)):
        assert asked(tokens, windows, window) == made(tokens, windows, window)
    other = shipped_corpora()[1]

    assert torch.equal(tokens.windows(other, *SIZES), tokens.windows(replace(other, shipped=False), *SIZES))
    assert len(entries(cache)) == 4


def test_another_tokenizer_has_another_entry(cache: Path, tokens: Tokens, files: Path) -> None:
    asked(tokens)
    state = json.loads((files / "tokenizer.json").read_text())
    state["post_processor"] = None
    (files / "tokenizer.json").write_text(json.dumps(state))
    other = load_tokenizer(files, "here")

    assert other.bos is None
    assert asked(other) == made(other) != made(tokens)
    assert len(entries(cache)) == 2


def test_a_users_own_text_is_not_kept(cache: Path, tokens: Tokens) -> None:
    tokens.windows(read_corpus(disk.TEXT), *SIZES)

    assert entries(cache) == []


def test_an_empty_variable_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINDEX_CACHE", "")

    assert tokencache.folder() is None


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [
        ("/a", "/b", "/a/tokens"),
        (None, "/b", "/b/swindex/tokens"),
        (None, "relative", "/home/x/.cache/swindex/tokens"),
        (None, None, "/home/x/.cache/swindex/tokens"),
    ],
)
def test_where_it_lies(own, xdg, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SWINDEX_CACHE", own), ("XDG_CACHE_HOME", xdg), ("HOME", "/home/x")):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert tokencache.folder() == Path(expected)


def test_a_scan_gives_the_same_with_and_without_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Options(windows=1, window=64)
    first, second = (scan(str(disk.CHECKPOINTS / "stories260k-one"), options=chosen) for _ in range(2))
    kept = len(entries(cache))
    monkeypatch.setenv("SWINDEX_CACHE", "")
    without = scan(str(disk.CHECKPOINTS / "stories260k-one"), options=chosen)

    assert kept == 3  # two texts, and the first without <s>
    assert first.effects == second.effects == without.effects
    assert first.scans[0].id == second.scans[0].id == without.scans[0].id
