"""The log of the service: one JSON object a line. Knows no request; what must not be told is not given to it."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO


class Log:
    """Lines on a stream, standard error if none is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None:
        """Write one line; a stream that is gone is no reason to stop serving."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, "level": level, "event": event, **fields}, default=str)
        try:
            stream = self._stream or sys.stderr
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass


class Handler(logging.Handler):
    """What libraries log, as lines of a log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, a traceback in it if there is one."""
        trace = {"traceback": self.formatter_of().formatException(record.exc_info)} if record.exc_info else {}
        self._log(record.getMessage(), record.levelname.lower(), logger=record.name, **trace)

    def formatter_of(self) -> logging.Formatter:
        """What writes tracebacks."""
        return self.formatter or logging.Formatter()
