"""When a fault strikes: rules over method and path, by occurrence, number or chance.

Several rules may strike the same request; they wrap it in the order in which they were added, the last one
outermost. What each kind does is in kinds.py.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from .kinds import KINDS

ANY = "any"
"""A rule of this kind draws one of MIXED anew for each request that it strikes."""
MIXED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status", {"status": 429, "reset": 0}),
    ("status", {"status": 429}),
    ("status", {"status": 500}),
    ("status", {"status": 503}),
    ("cut", {}),
    ("cut", {"after": 0}),
    ("cut", {"after": 100}),
    ("slow", {"delay": 0.02}),
    ("truncate", {"keep": 50}),
    ("ignore_range", {}),
    ("length", {"add": 7}),
    ("length", {"add": -7}),
)
"""What a network does now and then: each kind and its arguments."""


@dataclass
class Fault:
    """One rule. A request counts as seen if method and path fit."""

    kind: str
    """A name in kinds.KINDS, or ANY."""
    path: str = ""
    """Regular expression, searched in the raw path and query."""
    method: str = ""
    """GET, HEAD, ...; empty for all."""
    nth: int | None = None
    """Strike at this seen request (from 1), and not before; by default once."""
    times: int | None = None
    """Strike at most so often; None for always (with nth: once)."""
    probability: float = 1.0
    """Chance to strike, drawn from a generator with this rule's seed."""
    seed: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    """What the kind's function takes."""
    seen: int = 0
    hits: int = 0
    drawn: Counter[str] = field(default_factory=Counter)
    """How often ANY was what."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._path = re.compile(self.path)
        if self.kind != ANY:
            self.wrap(_nothing)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Put the fault around an application; raise KeyError or TypeError if it makes no sense."""
        kind, arguments = self.kind, self.arguments
        if kind == ANY:
            kind, arguments = self._random.choice(MIXED)
            self.drawn[" ".join([kind, *(f"{k}={v}" for k, v in arguments.items())])] += 1
        return KINDS[kind](app, **arguments)

    def strikes(self, method: str, target: str) -> bool:
        """Count a request and say whether the fault applies to it."""
        if self.method not in ("", method) or not self._path.search(target):
            return False
        self.seen += 1
        most = 1 if self.nth and self.times is None else self.times
        due = self.seen >= (self.nth or 1) and (most is None or self.hits < most)
        if not due or self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for the application while a rule is checked."""


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def add(self, kind: str, path: str = "", **given: Any) -> Fault:
        """Add a rule; `given` holds the rule's own settings and the kind's arguments together."""
        settings = {key: given.pop(key) for key in ("method", "nth", "times", "probability", "seed") if key in given}
        rule = Fault(kind, path, arguments=given, **settings)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Drop all rules."""
        self.rules = []

    def around(self, app: ASGIApp, method: str, target: str) -> ASGIApp:
        """Return the application with every fault that strikes this request around it."""
        for rule in list(self.rules):
            if rule.strikes(method, target):
                app = rule.wrap(app)
        return app
