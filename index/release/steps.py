"""What a long piece of work reports to."""

from collections.abc import Callable

Steps = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


def no_steps(what: str, done: int, of: int) -> None:
    """Report to nobody."""
