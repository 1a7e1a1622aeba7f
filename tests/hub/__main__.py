"""Serve a folder of checkpoints: python -m tests.hub FOLDER [--port N] [--gated ORG/NAME ...].

The folder holds <org>/<name>/ or <name>/ (which goes to --org). A folder is a repository if it holds a file;
a folder of folders is an organization. Runs until Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from .face import Hub


def find(folder: Path, org: str) -> Iterator[tuple[str, Path]]:
    """Yield the id and the path of each repository in a folder."""
    for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if any(path.is_file() for path in child.iterdir()):
            yield f"{org}/{child.name}", child
        else:
            yield from ((f"{child.name}/{path.name}", path) for path in sorted(child.iterdir()) if path.is_dir())


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("python -m tests.hub", description=(__doc__ or "").splitlines()[0])
    found.add_argument("folder", type=Path, help="folder of checkpoints: <org>/<name>/ or <name>/")
    found.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    found.add_argument("--org", default="local", help="organization of checkpoints without one (default: local)")
    found.add_argument("--gated", nargs="*", default=[], metavar="ORG/NAME", help="repositories that need a token")
    found.add_argument("--datasets", action="store_true", help="serve them as datasets instead of models")
    found.add_argument("--page-size", type=int, default=1000, help="repositories in one page of a listing")
    found.add_argument("--synthetic", type=int, default=0, metavar="N", help="list N made-up models as well")
    found.add_argument("--cdn", action="store_true", help="send large files from a second port, by redirect")
    return found


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit status."""
    options = parser().parse_args(argv)
    if not options.folder.is_dir():
        print(f"not a folder: {options.folder}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        hub = Hub(port=options.port, page_size=options.page_size, synthetic=options.synthetic, cdn=options.cdn)
    except OSError as error:
        print(f"cannot serve on port {options.port}: {error}", file=sys.stderr)
        return 3
    kind = "datasets" if options.datasets else "models"
    for repo_id, path in find(options.folder, options.org):
        hub.add_folder(repo_id, path, kind=kind, gated="manual" if repo_id in options.gated else False)
    with hub:
        print(f"serving {len(hub.state.repos)} repositories at {hub.url}")
        print(f"export HF_ENDPOINT={hub.url}", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
