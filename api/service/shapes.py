"""What the service answers, as pydantic models for its OpenAPI. A model's document is `results.LookupResult`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..changes import Change
from ..recent import Changes
from ..results import LookupResult
from ..searching import Hit
from .settings import QUERY_MOST


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProblemDetails(BaseModel):
    """Why something could not be answered (RFC 9457)."""

    type: str
    """`/problems/NAME`: stable, and itself an address."""
    title: str
    status: int
    detail: str
    errors: tuple[str, ...] | None = None
    """What is wrong with which parameter."""


class Listed(Hit):
    """A model in short."""

    family: str | None
    """Its model type."""


class Models(_Part):
    """A page of the models of the index."""

    models: tuple[Listed, ...]
    cursor: str | None
    """Give it to get the next page; null if this is the last."""
    indexed: int
    """Models in the index, whatever was asked for."""


class History(_Part):
    """The versions of a model's record."""

    model: str
    versions: tuple[Change, ...]
    """Oldest first."""


class RecordName(_Part):
    """A version of a record."""

    version: int
    digest: str


class ScalarToRead(_Part):
    """Where a recorded scalar is, and what should be there."""

    weight: str
    tensor: str
    index: tuple[int, ...]
    dtype: str | None
    value: float | None
    bits: str | None
    """The stored element as an unsigned integer, in hex."""
    packed: str | None
    file: str | None
    little_endian: str | None
    """The bytes as they lie in the file, in hex."""
    sha256: str | None
    """Of the whole file."""
    first: int | None
    last: int | None
    """Both ends of the bytes, as in `Range: bytes=FIRST-LAST`."""
    path: str | None
    """Of the file on the Hub, after https://huggingface.co."""
    missing: str | None
    """What the record lacks, so that no bytes can be named."""


class Verifiable(_Part):
    """What to read to verify a record oneself."""

    model_id: str
    revision: str | None
    record: RecordName
    command: str
    scalars: tuple[ScalarToRead, ...]


class ChangesPage(Changes):
    """A part of the change feed."""

    before: int | None
    """Give it as `before` to get older ones; null if there are none, or if `since` was asked for."""


class DatasetFile(_Part):
    """A file of a release."""

    path: str
    url: str
    sha256: str
    size: int


class DatasetFormat(_Part):
    """A form of the whole index."""

    format: Literal["jsonl", "parquet", "duckdb"]
    url: str
    files: tuple[DatasetFile, ...]


class Dataset(_Part):
    """The whole index, and the forms it can be had in."""

    seq: int
    chain: str
    models: int | None
    newest: str | None
    released: str | None
    root: str | None
    """Of the static site that `Client`, `swindex download` and `--index` read."""
    formats: tuple[DatasetFormat, ...]


class Question(_Part):
    """Models to look up."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"models": ["huggyllama/llama-7b", "no/such"]}]}
    )

    models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(min_length=1, max_length=QUERY_MOST)
    ]
    """Each as `ORG/NAME` or `ORG/NAME@REVISION`."""


class Result(_Part):
    """What is known of one of the models asked for: a document, or why there is none."""

    asked: str
    document: LookupResult | None
    problem: ProblemDetails | None


class Results(_Part):
    """What is known of the models asked for, in their order."""

    results: tuple[Result, ...]


class Health(_Part):
    """Whether the service serves, and how fresh what it serves is."""

    status: Literal["ok", "degraded"]
    """degraded: a newer index is there and cannot be served."""
    trouble: str | None
    """What is wrong with it, as the name of the error; the log says more."""
    seq: int
    chain: str
    models: int | None
    newest: str | None
    """Time of the last change."""
    released: str | None
    crawled: str | None
    """When the last crawl into it ended."""
    checked: str
    """When it was last looked whether there is a newer index."""
    catalogue: Literal["ready", "reading"]
    version: str
    """Of swindex."""
