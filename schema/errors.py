"""The root error of swindex and those of the schema.

Every error a person can meet descends from `SwindexError`: one line that says what, where and what to do, and
the exit status the command line gives it. This module knows nothing of files, networks or models.
"""


class SwindexError(Exception):
    """Something could not be done. `exit_status` follows DESIGN.md: 1 the answer is no, 2 usage, 3 could not."""

    exit_status = 3


class UsageError(SwindexError):
    """What was asked for is malformed (a bad model id, an unknown option value)."""

    exit_status = 2


class RecordError(SwindexError):
    """A record, or a part of it, cannot be true."""


class JsonError(RecordError):
    """A JSON text is not acceptable: malformed, duplicate keys, NaN or Infinity."""
