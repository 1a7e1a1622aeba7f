"""Files that change under a scan stop it: between layers in a folder, between answers of the Hub."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from swindex.crawler.checkpoint.base import Checkpoint
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.hub import retry
from swindex.crawler.scanning import scan_checkpoint
from swindex.schema.scan import Scan
from swindex.schema.types import Outcome

from .hub import Hub
from .plants.shared import one_thread
from .plants.stored import packed
from .plants.trained import ONE

__all__ = ["one_thread"]
SINGLE = "model.safetensors"
FILES = {p.name: p.read_bytes() for p in ONE.iterdir()}


def scanned(checkpoint: Checkpoint, after_first_layer: Callable[[], None]) -> Scan:
    """A scan in which something happens once the first layer is done."""

    def progress(what: str, done: int, _of: int) -> None:
        if (what, done) == ("layers", 1):
            after_first_layer()

    return scan_checkpoint(checkpoint, Options(effects=False), progress).scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of `stories260k-one`."""
    return Path(shutil.copytree(ONE, tmp_path / "m"))


def replaced(weights: Path) -> None:
    """Another file of the same size takes its place."""
    tensors = load_file(weights)
    save_file({n: t * 2 for n, t in tensors.items()}, weights.with_suffix(".new"), metadata={"format": "pt"})
    weights.with_suffix(".new").rename(weights)


def rewritten(weights: Path) -> None:
    """The same file gets other bytes."""
    with weights.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")


def piped(weights: Path) -> None:
    """A pipe takes its place."""
    weights.unlink()
    os.mkfifo(weights)


def led_away(weights: Path) -> None:
    """A link to a copy takes its place."""
    weights.rename(weights.with_suffix(".old"))
    shutil.copyfile(weights.with_suffix(".old"), weights.with_suffix(".copy"))
    weights.symlink_to(weights.with_suffix(".copy"))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "replaced": (replaced, "changed since the scan began; scan it again"),
    "rewritten": (rewritten, "changed since the scan began; scan it again"),
    "cut short": (lambda w: os.truncate(w, 5000), "changed since the scan began; scan it again"),
    "grown": (lambda w: w.open("ab").write(b"x") and None, "changed since the scan began; scan it again"),
    "a pipe": (piped, "changed since the scan began; scan it again"),
    "a link to a copy": (led_away, "changed since the scan began; scan it again"),
    "gone": (Path.unlink, "No such file or directory; may it be read?"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_changes_between_layers_stops_the_scan(folder: Path, name: str) -> None:
    change, reason = CHANGES[name]

    scan = scanned(LocalCheckpoint(folder), lambda: change(folder / SINGLE))

    assert (scan.outcome, scan.reason) == (Outcome.FAILED, f"{folder / SINGLE}: {reason}")


def test_a_quantized_file_that_changes_between_layers_stops_the_scan(tmp_path: Path) -> None:
    folder = packed("gptq").write(tmp_path / "q")

    scan = scanned(LocalCheckpoint(folder), lambda: rewritten(folder / SINGLE))

    assert (scan.outcome, "changed since the scan began" in (scan.reason or "")) == (Outcome.FAILED, True)


def test_other_files_may_change(folder: Path) -> None:
    scan = scanned(LocalCheckpoint(folder), lambda: (folder / "config.json").write_text("{}") and None)

    assert scan.outcome is Outcome.UNTESTED


# --- the Hub ---


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A loopback Hub with the checkpoint, whose repetitions come at once."""
    monkeypatch.setattr(retry, "BASE_WAIT", 0.001)
    with Hub() as running:
        running.add("org/m", FILES)
        yield running


def opened(hub: Hub) -> HubCheckpoint:
    """The checkpoint there."""
    return HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))


def test_an_etag_that_changes_between_layers_stops_the_scan(hub: Hub) -> None:
    def change() -> None:
        hub.fault("etag", SINGLE, value="1" * 64)

    scan = scanned(opened(hub), change)

    assert scan.outcome is Outcome.FAILED
    assert f"became {'1' * 64}" in (scan.reason or "")


def test_a_branch_that_moves_between_layers_changes_nothing(hub: Hub) -> None:
    checkpoint = opened(hub)
    bad = {SINGLE: b"another model", "config.json": b"{}"}

    scan = scanned(checkpoint, lambda: hub.add("org/m", bad) and None)

    assert opened(hub).revision != checkpoint.revision
    assert (scan.outcome, scan.revision) == (Outcome.UNTESTED, checkpoint.revision)


def test_a_file_that_is_cut_between_layers_stops_the_scan(hub: Hub) -> None:
    scan = scanned(opened(hub), lambda: hub.fault("truncate", SINGLE, keep=10) and None)

    assert (scan.outcome, "cannot be trusted with ranges" in (scan.reason or "")) == (Outcome.FAILED, True)
