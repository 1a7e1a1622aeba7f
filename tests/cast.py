"""The picture of a crawl in the README: what its display shows halfway through a real run over the loopback Hub.

`python -m tests.cast FILE.svg`. The models are small trained ones under many names, some of them fine-tunes and copies.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from rich.console import Console

from swindex.api.commands.watching import drawn
from swindex.crawler.crawling.policy import Policy
from swindex.crawler.crawling.run import crawl
from swindex.crawler.crawling.state import Noted
from swindex.crawler.crawling.status import Status

from .bench.faults import fill
from .hub import Hub

MODELS = 30
WIDTH = 118


class Camera:
    """Keeps the display as it was when half of the models were done."""

    def __init__(self) -> None:
        self.last: list[str] = []
        self.picture: str | None = None

    def show(self, status: Status) -> None:
        """Take the picture once."""
        busy = sum(step.of > 0 for step in status.running.values())
        if self.picture is None and status.finished >= MODELS // 2 and busy:
            console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115
            console.print(drawn(status, self.last))
            self.picture = console.export_svg(title="swindex crawl --workers 2 (loopback Hub)")

    def ended(self, noted: Noted) -> None:
        """Keep the last few."""
        self.last = [*self.last, f"{noted.outcome:>24}  {noted.model_id}"][-3:]


def main(path: str) -> None:
    """Crawl, and write the picture."""
    camera: Any = Camera()
    policy = Policy.read().but(workers={"count": 2}, budget={"requests": 5000, "hours": 1})
    with Hub() as hub, tempfile.TemporaryDirectory() as folder:
        fill(hub, MODELS)
        crawl([], index=Path(folder) / "index", policy=policy, watch=camera, api=HfApi(endpoint=hub.url, token=False))
    Path(path).write_text(camera.picture or "")


if __name__ == "__main__":
    main(*sys.argv[1:])
