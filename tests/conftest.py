"""What every test stands on: the Hub's client without telemetry, and nobody's token, cache, endpoint or index.

Set before the client is imported, since it reads its environment then; processes that tests start inherit it.
"""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .clock import Clock

_HOME = tempfile.mkdtemp(prefix="swindex-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
# The client asks the Hub for this once a day; with it at hand, requests can be counted.
(Path(_HOME) / ".agent_harnesses.json").write_text('{"standardEnvVars": [], "harnesses": {}}')

os.environ |= {
    "HF_HOME": _HOME,
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "SWINDEX_CACHE": os.path.join(_HOME, "swindex"),
    "TOKENIZERS_PARALLELISM": "false",
    "XDG_CACHE_HOME": os.path.join(_HOME, "cache"),
    "XDG_DATA_HOME": os.path.join(_HOME, "data"),
}
if _beside := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Threads of several processes on the same cores only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _beside)))
for _name in (
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "SWINDEX_INDEX",
    "SWINDEX_DEBUG",
    "SWINDEX_SHARED",
    "SWINDEX_SOURCE",
    "COLUMNS",
    "NO_COLOR",
):
    os.environ.pop(_name, None)


SLOW = ("crawl", "fleet", "pool", "crawl_run", "release_faults", "release", "faults", "outbox", "duckdb", "pickles")
"""Files of few tests that take long: first, so that no process is left alone with them at the end."""


TOGETHER = {
    **dict.fromkeys(("detection", "effects", "effects_outliers", "equivalence", "families"), "scanned"),
    **dict.fromkeys(("confusion", "invariance", "texts"), "seen"),
    **dict.fromkeys(("fleet", "pool"), "plain"),
    **dict.fromkeys(("architectures", "plants"), "planted"),
}
"""Files that look at the same scans (of `plants.shared`, `confusion` and `matrix`, or of `test_pool.plain`)."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files; a file, or what belongs together, is for one process."""
    for item in items:
        name = item.path.stem.removeprefix("test_")
        item.add_marker(pytest.mark.xdist_group(TOGETHER.get(name, name)))
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in SLOW)


@pytest.fixture(autouse=True)
def the_client_s_own_ways() -> Iterator[None]:
    """The crawler changes how this process asks the Hub; the next test starts without that."""
    yield
    transport = sys.modules.get("swindex.crawler.hub.transport")
    if transport is not None:
        transport.uninstall()


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    """A client remembers what an address had; the next test may serve another index at the same port."""
    yield
    shutil.rmtree(os.path.join(_HOME, "cache", "swindex", "seen"), ignore_errors=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Waits of the crawler's transport cost nothing."""
    from swindex.crawler.hub import pace, retry

    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    monkeypatch.setattr(retry, "ROUNDING", 0.0)
    return made


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the collector end what it would have."""
    gc.unfreeze()
