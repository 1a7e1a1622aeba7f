"""What is said when two forms of a release differ."""

from typing import NoReturn, Self

from ..errors import StoreError


class Disagreement(StoreError):
    """Two forms of a release do not say the same: it is not published."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}; not released: run `swindex index check`, then release again")
        self.where, self.what = where, what

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.where, self.what)


def differ(where: str, what: str) -> NoReturn:
    """Raise Disagreement."""
    raise Disagreement(where, what)


def equal(where: str, what: str, one: object, other: object) -> None:
    """Raise Disagreement if two values are not equal."""
    if one != other:
        differ(where, f"{what} differ: {one!r:.200} and {other!r:.200}")
