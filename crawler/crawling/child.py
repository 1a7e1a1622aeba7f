"""A worker as its parent sees it: a process group of its own, a pipe each way, and what it is at.

Starts it with no more of the environment than reading needs. Knows no queue and no limits.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from time import monotonic
from typing import Any

from ..refusal import one_line
from .jobs import Job

READ_TOKEN = "SWINDEX_READ_TOKEN"
"""A token that may only read; takes the place of HF_TOKEN in workers."""
KEPT = frozenset({"HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HOME", "LANG", "PATH", "PYTHONPATH", "TMPDIR", "TZ"})
KEPT_ENDINGS = ("_PROXY", "_CA_BUNDLE", "_CACHE_HOME", "_PARALLELISM")
KEPT_BEGINNINGS = ("LC_", "LD_", "SSL_CERT_", "HF_HUB_", "SWINDEX_", "CUDA_", "NVIDIA_", "PYTORCH_", "ROCR_", "HIP_")
NOT_KEPT = frozenset({READ_TOKEN, "HF_HUB_TOKEN"})
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CHUNK = 1 << 16


def environment(threads: int, extra: Mapping[str, str], *, only_read_token: bool = False) -> dict[str, str]:
    """What a worker inherits: what reading needs, and no token but the one for it.

    The token that `hf auth login` stores is out of its reach, since that may write. `only_read_token`: HF_TOKEN can
    write here (it serves an outbox), so that SWINDEX_READ_TOKEN alone counts.
    """
    kept = {k: v for k, v in os.environ.items() if _is_kept(k)}
    if only_read_token:
        kept.pop("HF_TOKEN", None)
    if READ_TOKEN in os.environ:
        kept["HF_TOKEN"] = os.environ[READ_TOKEN]
    ours = {"HF_TOKEN_PATH": os.devnull, "PYTHONUNBUFFERED": "1", **dict.fromkeys(THREADS, str(threads))}
    return {**kept, **ours, **extra}


def token() -> str | bool:
    """The token that workers have, for who looks at models before them; False for none, also not the stored one."""
    return os.environ.get(READ_TOKEN) or os.environ.get("HF_TOKEN") or False


def _is_kept(name: str) -> bool:
    kept = name in KEPT or name.startswith(KEPT_BEGINNINGS) or name.upper().endswith(KEPT_ENDINGS)
    return kept and name not in NOT_KEPT


class Child:
    """A worker process."""

    def __init__(self, settings: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        command = [sys.executable, "-P", "-m", f"{__package__}.worker"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=dict(variables),
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._rest = b""
        self.ready = False
        self.job: Job | None = None
        self.since = monotonic()
        """When it started, or got its job."""
        self._send(settings)

    @property
    def pid(self) -> int:
        """Its process id, also that of its group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def fileno(self) -> int:
        """What can be waited for: it says something, or has ended."""
        return self._out.fileno()

    def give(self, job: Job) -> None:
        """Let it do a job."""
        self.job, self.since = job, monotonic()
        self._send(asdict(job))

    def heard(self) -> list[dict[str, Any]] | None:
        """What it has said since, without waiting longer than for the first of it; None if it has ended."""
        data = os.read(self.fileno(), CHUNK)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> str:
        """Kill it and whatever it started, if it still runs; in one phrase, how it had ended."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        said = self._last_line() if status > 0 else ""
        self.close()
        return f"was killed by {_signal(-status)}" if status < 0 else f"ended with status {status}{said}"

    def dismiss(self, patience: float = 5.0) -> None:
        """Let it end; kill it if it does not."""
        with suppress(OSError):
            self._in.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self.end()

    def ended(self, patience: float = 5.0) -> None:
        """Wait until a process that has closed its output is gone, so that its own end is seen and not ours."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)

    def close(self) -> None:
        """Close the pipes."""
        for stream in (self._in, self._out, self._stderr):
            with suppress(OSError):
                stream.close()

    def _send(self, what: Mapping[str, Any]) -> None:
        with suppress(BrokenPipeError):  # its end is seen when it is listened to
            self._in.write(json.dumps(what).encode() + b"\n")

    def _last_line(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4096))
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((one_line(line) for line in reversed(lines) if line.strip()), "")
        return f": {last[:300]}" if last else ""


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} (out of memory, most likely)" if number == signal.SIGKILL else name
