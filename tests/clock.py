"""Time for tests of waits."""

NOW = 1e9


class Clock:
    """Stands in for the module `time`: time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Pass."""
        self.now += seconds

    @property
    def passed(self) -> float:
        """Seconds slept so far."""
        return self.now - NOW
