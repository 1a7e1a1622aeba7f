"""`make demo`: from a Hub to a record to a look-up, on this machine alone.

Starts a Hub on loopback that serves the trained checkpoints of `tests/checkpoints`, crawls it (discovery through its
API, weights by HTTP ranges), builds the index' DuckDB and asks it. Every command is the real one, run as a user would.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hub import Hub

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SQL = (
    "SELECT model_id, layer, row, col, alone AS verdict_alone, grouped AS verdict_in_group "
    "FROM super_weights ORDER BY model_id, col"
)


def run(index: str, hub: str | None, *arguments: str) -> None:
    """Run `swindex` as a user would and show the command; stop the demo if it fails."""
    print(
        f"\n\033[1m$ swindex {shlex.join(arguments)}\033[0m"
        if sys.stdout.isatty()
        else f"\n$ swindex {shlex.join(arguments)}"
    )
    sys.stdout.flush()
    program = [str(Path(sys.executable).parent / "swindex"), *arguments]
    environment = {**os.environ, **({"HF_ENDPOINT": hub} if hub else {}), **({"SWINDEX_INDEX": index} if index else {})}
    if subprocess.run(program, env=environment).returncode != 0:
        sys.exit(f"the demo stopped: swindex {arguments[0]} failed")


def ask(index: str) -> None:
    """Ask the index' DuckDB in SQL."""
    import duckdb

    print(f"\nDuckDB> {SQL}")
    with duckdb.connect(str(Path(index) / "index.duckdb"), read_only=True) as connection:
        print(connection.sql(SQL))


def main() -> None:
    """Run the demo."""
    with Hub() as hub, tempfile.TemporaryDirectory(prefix="swindex-demo-") as index:
        folders = sorted(p for p in CHECKPOINTS.iterdir() if p.is_dir())
        for folder in folders:
            hub.add_folder(f"demo/{folder.name}", folder)
        print(f"A Hub on loopback serves {len(folders)} checkpoints at {hub.url}")
        run(index, hub.url, "crawl", "--author", "demo", "--plan")
        run(index, hub.url, "crawl", "--author", "demo")
        print(f"\nThe Hub sent {hub.log.sent()} bytes in {len(hub.log)} answers.")
        ask(index)
        run(index, None, "lookup", "demo/stories260k-one")
        run(index, None, "lookup", "demo/stories260k")
    print("\nFrom the index that ships with the package:")
    run("", None, "lookup", "mistralai/Mistral-7B-v0.1")


if __name__ == "__main__":
    main()
