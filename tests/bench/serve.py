"""Serve generated checkpoints, which lie on no disk, from a loopback Hub: python -m tests.bench.serve SHAPE ...

Model `bench/SHAPE` for each. Prints the Hub's address and serves until its standard input ends.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hub import Hub

from .content import files
from .shapes import SHAPES


def main(names: list[str]) -> None:
    """Serve."""
    with Hub() as hub:
        for name in names:
            hub.add(f"bench/{name}", files(SHAPES[name]))
            hub.repo(f"bench/{name}").head.sha  # noqa: B018 (made now rather than in the first request)
        print(hub.url, flush=True)
        sys.stdin.read()


@contextmanager
def serving(*names: str) -> Iterator[dict[str, str]]:
    """The environment of a client of such a Hub, which runs in a process of its own meanwhile."""
    command = [sys.executable, "-m", "tests.bench.serve", *names]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield {"HF_ENDPOINT": process.stdout.readline().strip(), "HF_HUB_DISABLE_XET": "1"}
    finally:
        process.communicate()


if __name__ == "__main__":
    main(sys.argv[1:])
