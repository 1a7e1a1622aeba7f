"""The errors of the store; each is one line that says what, where and what to do.

Named by what is the case, not with the ending Error. Standard library only.
"""

from ..schema.errors import SwindexError


class StoreError(SwindexError):
    """The index could not be read or written."""


class NotInIndex(StoreError):
    """The index has no record of this model (or none at this revision); that says nothing about the model."""

    exit_status = 1


class DamagedLog(StoreError):
    """A line of a log that is not its torn end cannot be what was written."""


class DamagedFeed(StoreError):
    """A line of the change feed, or of one offered as such, that cannot be what was written."""


class StaleRecord(StoreError):
    """A version that does not follow the newest one of its model."""


class Locked(StoreError):
    """Another process writes to the index."""


class StaleDatabase(StoreError):
    """The DuckDB file is missing, unreadable or not of the log's content."""


def os_reason(error: OSError) -> str:
    """What the operating system says, in one line."""
    return error.strerror or str(error) or type(error).__name__
