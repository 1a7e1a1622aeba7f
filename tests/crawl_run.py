"""A crawl through worker processes, to be killed from outside: python -m tests.crawl_run DIR WORKERS MODEL ...

Does what the index does not have yet, appends as it goes, and prints each model when it is in the index.
"""

import sys
from pathlib import Path

from swindex.crawler.crawling.collect import Collector
from swindex.crawler.crawling.jobs import Done, Job
from swindex.crawler.crawling.outbox import Outbox
from swindex.crawler.crawling.pool import Pool
from swindex.crawler.detection.run import Options
from swindex.index.store import Index

OPTIONS = Options(window=32)


def main(folder: str, workers: str, *models: str) -> None:
    """Crawl."""
    index, box = Index(Path(folder) / "index"), Outbox(Path(folder) / "outbox")
    with Collector(box, index, told=told) as collector:
        collector.take()
        missing = [m for m in models if m not in set(index.models())]
        with Pool(int(workers), None, OPTIONS, box.folder) as pool:
            for event in pool.run(iter([Job(m) for m in missing])):
                print(event.kind, event.job.model_id, event.facts.get("pid", ""), flush=True)
                collector.take()


def told(done: Done, new: bool) -> None:
    """Say that it is in the index."""
    print("told", done.job.model_id, new, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
