"""The OpenAPI document as it is kept, for those who need no FastAPI to read it. `openapi` makes it."""

from pathlib import Path


def document() -> bytes:
    """The document."""
    return (Path(__file__).parent / "openapi.json").read_bytes()
