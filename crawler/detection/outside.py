"""What stands outside the layers: loaded when it is first called, dropped at the end.

Of an embedding just the rows of the tokens in use are read, where it is large. Knows nothing of layers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .rows import in_rows, looking_up, read_rows

if TYPE_CHECKING:
    from .resident import Weights

SMALL = 1 << 20
"""Parameters outside the layers of at most so many elements stay resident."""


@contextmanager
def outside(weights: "Weights", ids: Tensor | None) -> Iterator[None]:
    """Modules outside the layers load themselves when first called; large ones are dropped at the end.

    `ids`: the only token ids that are looked up. Of the embedding just their rows are then read, at once: some
    models ask on which device it is before they call it.
    """
    placements, tied = weights.skeleton.outside(), weights.skeleton.tied
    with ExitStack() as stack:
        for path, module in weights.skeleton.model.named_modules():
            own = [f"{path}.{n}" if path else n for n, _ in module.named_parameters(recurse=False)]
            needed = [n for n in own if n in placements or n in tied]
            if ids is not None and needed and _is_vocabulary(weights, module):
                stack.enter_context(_looking_up(weights, needed, module, ids))
            elif needed:
                stack.callback(module.register_forward_pre_hook(_loader(weights, needed)).remove)
        stack.callback(_drop, weights, [*placements, *tied])
        yield


def _drop(weights: "Weights", names: list[str]) -> None:
    weights.empty([n for n in names if weights.parameter(n).numel() > SMALL or n in weights.skeleton.tied])


def _loader(weights: "Weights", names: list[str]) -> Callable[..., None]:
    def load(*_: object) -> None:
        placements = weights.skeleton.outside()
        for name in [n for n in names if weights.parameter(n).is_meta]:
            weights.fill([placements[weights.skeleton.tied.get(name, name)]], rename=name)

    return load


def _is_vocabulary(weights: "Weights", module: nn.Module) -> bool:
    """Whether a module is looked up by token ids: the input embedding, and what else has a row for each token."""
    embedding = weights.skeleton.model.get_input_embeddings()
    if module is embedding or not isinstance(module, nn.Embedding):
        return module is embedding
    return module.num_embeddings == getattr(embedding, "num_embeddings", None)


@contextmanager
def _looking_up(weights: "Weights", names: list[str], module: nn.Module, ids: Tensor) -> Iterator[None]:
    """The embedding with these token ids alone, if they are few and it lies in the file row by row; else whole."""
    placement = weights.skeleton.outside().get(names[0]) if len(names) == 1 else None
    known = torch.unique(torch.cat([ids.flatten(), ids.new_zeros(1)]))  # 0 stands for tokens without a row
    if placement is None or not in_rows(placement, module, len(known)):
        _loader(weights, names)()
        yield
        return
    [info] = [i for _, i in placement.sources]
    stored = read_rows(weights.checkpoint, info, known)
    rows = stored.to(weights.device, weights.dtype)
    weights.check_finite(info, rows, stored)
    weights.put(names[0], rows)
    with looking_up(module, known.to(weights.device)):
        yield
    weights.put(names[0], torch.empty(info.shape, device="meta"))
