"""The screen tier: the first token only, a part of the layers, and no conclusion."""

import json
import shutil
from pathlib import Path

from swindex.crawler import Options, scan
from swindex.crawler.detection import constants
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from .plants import disk

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SCREEN = Options(depth="screen")


def screened(folder: Path) -> Record:
    """A folder's record after a screen."""
    return scan(str(folder), options=SCREEN)


def test_a_screen_finds_what_the_first_token_shows() -> None:
    record = screened(CHECKPOINTS / "stories260k-one")

    assert [w.id for w in record.super_weights] == ["L1.R67.C172"]
    assert (record.super_weights[0].token.position, record.super_weights[0].token.kind) == (0, "bos")


def test_a_screen_that_finds_nothing_is_no_negative_and_says_which_layers_it_read() -> None:
    scanned = screened(CHECKPOINTS / "stories260k").scans[0]

    assert (scanned.outcome, scanned.layers_covered, scanned.layers) == (Outcome.UNTESTED, (0, 1, 2), 5)
    assert (scanned.settings.depth, scanned.settings.effects) == ("screen", False)


def test_a_screen_reads_less_than_the_checkpoint() -> None:
    cost = screened(CHECKPOINTS / "stories260k").scans[0].cost

    assert cost.bytes_read < 0.75 * cost.bytes_checkpoint


def test_a_screen_needs_no_tokenizer_where_the_config_names_the_first_token(tmp_path: Path) -> None:
    folder = shutil.copytree(CHECKPOINTS / "stories260k-one", tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()

    assert [w.id for w in screened(folder).super_weights] == ["L1.R67.C172"]


def test_without_tokenizer_and_first_token_a_screen_says_so(tmp_path: Path) -> None:
    folder = shutil.copytree(CHECKPOINTS / "stories260k-one", tmp_path / "bare")
    (folder / "tokenizer.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": None}))
    scanned = screened(folder).scans[0]

    assert scanned.outcome is Outcome.FAILED
    assert "tokenizer" in (scanned.reason or "")


def test_a_screen_stops_some_layers_behind_its_last_find(tmp_path: Path) -> None:
    tensors = disk.read(CHECKPOINTS / "stories260k-one")
    for layer in range(5, 12):
        for name in [n for n in tensors if ".layers.4." in n]:
            silent = "o_proj" in name or "down_proj" in name
            tensors[name.replace(".4.", f".{layer}.")] = tensors[name] * (0.0 if silent else 1.0)
    config = disk.config_of(CHECKPOINTS / "stories260k-one") | {"num_hidden_layers": 12}
    scanned = screened(disk.write(tmp_path / "deep", config, tensors)).scans[0]

    assert scanned.layers_covered == tuple(range(1 + constants.SCREEN_QUIET + 1))
