"""Which models to scan: those named, or those that the Hub's own listing finds. One row each, nothing read yet.

The listing gives the commit, so that a model already scanned there costs nothing more. Sizes in it are those of the
parameters; files are looked at when a model's turn comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from huggingface_hub import HfApi, ModelInfo, constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx

from ...schema.errors import SwindexError, UsageError
from ..checkpoint.header import DTYPES
from . import transport

FILTERS = ("safetensors",)
PIPELINE = "text-generation"
EXPAND: list[Any] = ["sha", "safetensors", "gated", "disabled", "downloads", "lastModified"]
SORTS = ("created_at", "downloads", "last_modified", "likes", "trending_score")


class DiscoveryError(SwindexError):
    """The Hub could not be asked which models there are."""


@dataclass(frozen=True)
class Target:
    """A model to scan. `revision` is a commit if known; `size` in bytes, estimated from the parameter counts."""

    model_id: str
    revision: str | None = None
    size: int | None = None
    gated: bool = False


@dataclass(frozen=True)
class Query:
    """What to ask the Hub's listing for; the Hub's own words."""

    author: str | None = None
    search: str | None = None
    filters: tuple[str, ...] = ()
    sort: str | None = None
    limit: int | None = None
    num_parameters: str | None = None


def discover(query: Query, api: HfApi | None = None) -> Iterator[Target]:
    """The models that the listing finds, in its order; raise UsageError or DiscoveryError."""
    if query.sort is not None and query.sort not in SORTS:
        raise UsageError(f"--sort {query.sort}: the Hub sorts by {', '.join(SORTS)}")
    api = api or HfApi()
    transport.ensure(api.endpoint)
    listing = api.list_models(
        author=query.author,
        search=query.search,
        filter=[*FILTERS, *query.filters],
        pipeline_tag=PIPELINE,
        num_parameters=query.num_parameters,
        sort=query.sort,  # type: ignore[arg-type]
        limit=query.limit,
        expand=EXPAND,
    )
    try:
        yield from map(_target, islice(listing, query.limit))
    except (HfHubHTTPError, httpx.HTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DiscoveryError(f"{constants.ENDPOINT}: the listing failed: {type(error).__name__}: {reason}") from None


def named(models: list[str]) -> Iterator[Target]:
    """The models that were named, as `org/name` or `org/name@revision`."""
    for text in dict.fromkeys(models):
        model_id, _, revision = text.partition("@")
        yield Target(model_id, revision or None)


def _target(info: ModelInfo) -> Target:
    counts = info.safetensors.parameters if info.safetensors else {}
    bits = [DTYPES[d][0] * n if d in DTYPES else 16 * n for d, n in counts.items()]
    return Target(info.id, info.sha, sum(bits) // 8 if bits else None, bool(info.gated))
