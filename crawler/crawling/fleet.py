"""Many machines: job lists by size and device, and datatrove's executors that run them.

Each list is a run of its own, its shares fixed beforehand: models of like size end at like times. The coordinator
appends (`collect`), before, while and after the machines work. Knows no index and no listing; imports datatrove late.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from ...schema.errors import UsageError
from ..detection.options import Options
from .fleet_steps import ScanShare, write_jobs
from .jobs import Job
from .limits import GB, UNKNOWN, TimeLimit

SIZES: tuple[tuple[str, float], ...] = (
    ("small", 8 * GB),
    ("medium", 40 * GB),
    ("large", 200 * GB),
    ("huge", float("inf")),
)
"""Classes of models, and the bytes of weights up to which each goes."""
_EVERY = frozenset({"workers", "skip_completed", "randomize_start_duration"})
_RESOURCES = frozenset({"cpus_per_task", "mem_per_cpu_gb", "gpus_per_task", "tasks_per_job"})


@dataclass(frozen=True)
class Engine:
    """How one of datatrove's executors is made."""

    class_name: str
    accepts: frozenset[str]
    """Its settings that make sense here."""
    requires: tuple[str, ...] = ()
    """Those that it cannot do without."""
    needs: tuple[str, ...] = ("datatrove",)
    """Modules."""
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        "local": Engine("LocalPipelineExecutor", _EVERY | {"start_method", "local_tasks", "local_rank_offset"}),
        "ray": Engine(
            "RayPipelineExecutor",
            _EVERY | _RESOURCES | {"ray_remote_kwargs", "time", "log_first"},
            needs=("datatrove", "ray"),
        ),
        "slurm": Engine(
            "SlurmPipelineExecutor",
            _EVERY
            | _RESOURCES
            | {"time", "partition", "job_name", "qos", "env_command", "condaenv", "venv_path", "sbatch_args"}
            | {"max_array_size", "max_array_launch_parallel", "stagger_max_array_jobs", "requeue", "requeue_signals"}
            | {"srun_args", "with_srun", "slurm_logs_folder", "mail_type", "mail_user", "depends_job_id"},
            requires=("time", "partition"),
            defaults=MappingProxyType({"job_name": "swindex", "mem_per_cpu_gb": 4}),
        ),
        "jobs": Engine(
            "JobsPipelineExecutor",
            _EVERY
            | {"flavor", "image", "dependencies", "timeout", "tasks_per_job", "python", "namespace", "labels"}
            | {"token", "secrets", "env", "max_retries", "poll_interval", "job_name"},
            defaults=MappingProxyType(
                {"job_name": "swindex", "timeout": "6h", "dependencies": ["swindex[crawl,fleet]"]}
            ),
        ),
    }
)


@dataclass(frozen=True)
class Fleet:
    """Where the lists, the logs and the outbox of a fleet are, and how its machines scan."""

    place: str
    """Folder or address that all machines reach: `lists/`, `logs/` and `outbox/` are made in it."""
    options: Options
    time_limit: TimeLimit = field(default_factory=TimeLimit)
    workers_per_task: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
    """More environment for the scanning processes."""

    @property
    def outbox(self) -> str:
        """What all machines put what they did into."""
        return f"{self.place}/outbox"

    def executor(self, name: str, group: str, jobs: Iterable[Job], tasks: int, **settings: Any) -> Any:
        """Write a group's job list and make the executor for it: `run()` it, and again after whatever stopped it.

        The same list is the same run: what it completed is not begun again. Raise UsageError.
        """
        import fsspec

        text = write_jobs(jobs)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        lists, device = f"{self.place}/lists/{group}-{digest}.jsonl", group.partition("-")[0]
        with fsspec.open(lists, "wt", encoding="utf-8", **_made(lists)) as file:
            file.write(text)
        step = ScanShare(
            lists,
            self.outbox,
            {**asdict(self.options), "device": device},
            self.workers_per_task,
            self.time_limit.seconds,
            self.time_limit.rate,
            dict(self.variables),
        )
        return executor(name, step, tasks, f"{self.place}/logs/{group}-{digest}", **settings)


def _made(where: str) -> dict[str, Any]:
    """Make missing folders, where there are such."""
    return {} if "://" in where else {"auto_mkdir": True}


def group(jobs: Iterable[Job], devices: Mapping[str, str] | None = None) -> dict[str, list[Job]]:
    """The jobs by device and size class (`cuda-medium`), largest first; `devices` says which class is scanned where.

    A class that `devices` does not name is scanned on the CPU. One list is one run, on machines of one kind.
    """
    found: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=_size, reverse=True):
        size = next(name for name, most in SIZES if _size(job) <= most)
        found.setdefault(f"{(devices or {}).get(size, 'cpu')}-{size}", []).append(job)
    return found


def _size(job: Job) -> float:
    return UNKNOWN if job.size is None else job.size


def executor(name: str, step: Any, tasks: int, logs: str, **settings: Any) -> Any:
    """The executor of that name over so many shares; raise UsageError for what is not there or not understood."""
    engine = ENGINES.get(name)
    if engine is None:
        raise UsageError(f"{name!r} runs no fleet; use {', '.join(ENGINES)}")
    for module in engine.needs:
        if find_spec(module) is None:
            raise UsageError(f"--fleet {name} needs {module}: pip install 'swindex[fleet]'")
    given = {**engine.defaults, **settings}
    unknown = sorted(set(given) - engine.accepts)
    missing = [s for s in engine.requires if s not in given]
    if unknown or missing:
        what = f"does not know {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
        raise UsageError(f"--fleet {name} {what}; it takes {', '.join(sorted(engine.accepts))}")
    try:
        return getattr(import_module("datatrove.executor"), engine.class_name)(
            [step], tasks=tasks, logging_dir=logs, **given
        )
    except (ValueError, ImportError) as error:
        raise UsageError(f"--fleet {name}: {' '.join(str(error).split())}") from None
