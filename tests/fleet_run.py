"""A fleet in a program of its own, to be killed: python -m tests.fleet_run ENGINE PLACE TASKS WORKERS MODEL ..."""

import os
import sys
import tempfile
from typing import Any

from swindex.crawler.crawling.fleet import Fleet, group
from swindex.crawler.crawling.jobs import Job
from swindex.crawler.detection.run import Options

OPTIONS = Options(window=32)
SETTINGS: dict[str, dict[str, Any]] = {"local": {}, "ray": {"mem_per_cpu_gb": 0.1}}


def main(engine: str, place: str, tasks: str, workers: str, *models: str) -> None:
    """Scan these models; the executor's own logs go to standard error."""
    groups = group([Job(m, size=n) for n, m in enumerate(models)])
    if engine == "ray":
        _ray()
    fleet = Fleet(place, OPTIONS)
    for name, jobs in groups.items():
        fleet.executor(engine, name, jobs, int(tasks), workers=int(workers), **SETTINGS[engine]).run()


def _ray() -> None:
    """A Ray of this process alone, in a folder whose name is short enough for its sockets; it tells nobody."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    import ray

    folder = tempfile.mkdtemp(prefix="ray-", dir=os.environ.get("RAY_FOLDER", "/tmp"))
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=folder,
        _node_ip_address="127.0.0.1",
        object_store_memory=100_000_000,
        configure_logging=False,
        log_to_driver=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
