"""A Hub on the loopback interface that the unmodified clients can list, read and write; see face.py."""

from .face import Hub
from .faults import Fault
from .log import Entry, Log
from .repos import Repository

__all__ = ["Entry", "Fault", "Hub", "Log", "Repository"]
