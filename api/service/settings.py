"""What the service allows: sizes, numbers, times. Knows nothing of what is asked."""

from typing import NamedTuple


class Settings(NamedTuple):
    """The limits of a service; sizes in bytes, times in seconds."""

    body: int = 1 << 16
    """Of a request."""
    submission: int = (1 << 20) + 4096
    """Of one that submits, where submissions are taken."""
    form: int = 4 << 20
    """Of a form that submits: what it carries is escaped, and several times as long."""
    uploads: int = 16
    """Of these two that are read at once."""
    hourly: int = 60
    """Submissions and tries from one address; an IPv6 network of 64 bits is one address."""
    url: int = 4096
    """Path and query together, as sent."""
    headers: int = 16 << 10
    """All names and values of a request."""
    head: int = 64 << 10
    """What is read of a request before it is whole; beyond it the connection is closed."""
    concurrency: int = 64
    """Different answers made at once; who asks for more is told to come back."""
    connections: int = 1024
    head_seconds: float = 10.0
    """For the head of the first request on a connection."""
    body_seconds: float = 10.0
    answer_seconds: float = 20.0
    """Until an answer begins."""
    stall_seconds: float = 30.0
    """Without a byte taken by a client that has something to read."""
    stop_seconds: int = 20
    """For requests in flight when the service is stopped."""
    check_seconds: float = 1.0
    """Between two looks at the index."""
    cache: int = 64 << 20
    """Bodies that are kept ready, of the newest snapshot."""
    fresh: int = 60
    """Seconds for which a cache may serve what can change with the index."""
    eager: int = 2000
    """Models up to which the catalogue is read before the first request; of more it is read meanwhile."""
    site: int = 5000
    """Changes up to which a plain index is also offered as a static site."""


LIMIT = 50
"""Rows of a page where nobody says how many."""
LIMIT_MOST = 500
QUERY_MOST = 100
"""Models asked for in one request."""
