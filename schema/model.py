"""The model a record is about, and the weight files that were read."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .types import Count, ModelId, Part, Revision, Sha256, Text, absent


class Relation(StrEnum):
    """How a model relates to its base model, in the Hub's words."""

    FINETUNE = "finetune"
    ADAPTER = "adapter"
    MERGE = "merge"
    QUANTIZED = "quantized"


class Integrity(StrEnum):
    """How the bytes that were read are vouched for: a digest of the whole file, or checked ranges of it."""

    SHA256 = "sha256"
    RANGE = "range"


class WeightFile(Part):
    """A weight file of the checkpoint."""

    path: Text
    size: Count
    sha256: Sha256 | None = None
    """As the Hub states it, or as computed; null if neither."""
    integrity: Integrity


class Model(Part):
    """A checkpoint at one revision. `revision` is null only where no source pins one and nothing was scanned."""

    id: ModelId
    revision: Revision | None = None
    architecture: Text | None = None
    """Class name in config.json."""
    model_type: Text | None = None
    parameters: Count | None = None
    dtype: Text | None = None
    layers: Annotated[int, Field(ge=1)] | None = None
    hidden_size: Annotated[int, Field(ge=1)] | None = None
    base_model: ModelId | None = None
    relation: Relation | None = None
    files: tuple[WeightFile, ...] = ()
    content: Annotated[Sha256 | None, Field(exclude_if=absent)] = None
    """Digest over all that a scan depends on (weights, config, tokenizer): equal content, equal scan. Schema 1.1."""
