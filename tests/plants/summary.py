"""A generic plant as anybody would look at it: load it, read the channel behind the layer, zero one stored element.

`python -m tests.plants.summary [TYPE ...]` prints a line for each type and kind; nothing here knows the detector.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from transformers.utils import logging

from . import Plant
from .coverage import KINDS_OF, NOT_BUILT
from .disk import edited
from .generic import dominance, loaded, plant, spike
from .tiny_configs import H


@dataclass(frozen=True)
class Measured:
    """A plant, and its channel at `<s>` behind its layer, before and after zeroing the stored element."""

    plant: Plant
    zeroed: Path
    """The checkpoint in which the stored element is zero."""
    shape: tuple[int, ...]
    """Of the stored tensor."""
    spike: float
    massive: bool
    spike_zeroed: float
    massive_zeroed: bool


def measure(model_type: str, kind: str, folder: Path) -> Measured:
    """Plant in an empty folder, load twice; what is zeroed lies beside it."""
    made = plant(model_type, folder, kind)
    before = _behind(folder, made)
    zeroed = edited(folder, folder.with_name(folder.name + "-zeroed"), [(s.tensor, s.index) for s in made.scalars])
    after = _behind(zeroed, made)
    return Measured(made, zeroed, _shape(folder, made.scalars[0].tensor), *before, *after)


def _behind(folder: Path, made: Plant) -> tuple[float, bool]:
    """Channel J at `<s>`, and whether it has more energy than all others together."""
    model, layer = loaded(folder), made.scalars[0].layer
    with torch.no_grad():
        return spike(model, layer), dominance(model, layer) ** 2 >= H - 1


def _shape(folder: Path, tensor: str) -> tuple[int, ...]:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            if tensor in tensors.keys():  # noqa: SIM118 - not a mapping
                return tuple(tensors.get_slice(tensor).get_shape())
    raise KeyError(tensor)


def line(model_type: str, kind: str, folder: Path) -> str:
    """One line of the summary."""
    try:
        found = measure(model_type, kind, folder)
    except Exception as error:
        return f"{model_type:26} {kind:6} FAILED {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    scalar = found.plant.scalars[0]
    good = "ok " if found.massive and not found.massive_zeroed else "BAD"
    where = f"{scalar.tensor} {list(found.shape)} at {scalar.index}"
    return f"{model_type:26} {kind:6} {good} {scalar.id:15} {found.spike:9.3g} -> {found.spike_zeroed:7.2g}  {where}"


def main(names: list[str]) -> None:
    """Print all lines, or those of some types."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        for model_type in names or KINDS_OF:
            for kind in KINDS_OF[model_type]:
                with tempfile.TemporaryDirectory(dir=root) as name:
                    print(line(model_type, kind, Path(name) / "plant"), flush=True)
    if not names:
        print(*(f"{name:26} not built: {why}" for name, why in NOT_BUILT.items()), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
