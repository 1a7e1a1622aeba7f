"""What a tool is to a recipe: a row of the table in `tools`; and what a writer is given. Knows no tool."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .names import Names
from .schemes import Scheme


@dataclass(frozen=True)
class Plan:
    """What a writer puts into the tool's words."""

    units: tuple[str, ...]
    """What keeps its precision, as the tool calls it."""
    scheme: Scheme
    head: str
    """The module of the output head, which stays as it is too."""
    fused: bool
    """Whether experts are among what is kept."""
    high: str
    """GGUF's type for what is kept."""
    comment: tuple[str, ...]
    source: dict[str, Any]
    """Where the recipe comes from: plain data."""


@dataclass(frozen=True)
class Tool:
    """A quantizer."""

    name: str
    tried: str
    """The version that the recipe was tried with (TOOLS.md)."""
    unit: str
    """The narrowest that it can keep, in words."""
    experts: str
    """The same of a mixture of experts."""
    option: str
    """What it calls the option."""
    use: str
    """How to give it the file."""
    moves: str
    """What it has that rotates; empty for nothing."""
    unit_of: Callable[[Names], str]
    shares: bool
    """Whether one unit holds all experts of a layer."""
    schemes: tuple[Scheme, ...]
    """The first is the one meant where none is named."""
    write: Callable[[Plan], str]
