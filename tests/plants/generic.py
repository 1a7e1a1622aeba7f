"""A planted super weight in any model type: one scalar of a down projection, by experiment on the running model.

Every down projection is made silent on channel J. Then one neuron, the one that `<s>` drives hardest (in an expert
that `<s>` really reaches), writes to J alone, so much that J is massive behind its layer at `<s>`. What `<s>` does at
position 0 depends on no later token, so this holds in every prompt. Where the scalar lies in the file is read from
the file: its value is unique there. Nothing here knows the detector; `python -m tests.plants.summary` prints
what is covered.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto as auto

from . import Plant, Scalar
from .disk import BOS, add_tokenizer, config_of
from .published import PUBLISHED
from .tiny import tiny_model
from .tiny_configs import SQUARE, H

KINDS = ("dense", "expert", "shared", "latent")
J = 29
MASSIVE = 1000.0
"""Of the planted channel behind its layer, over the root mean square of the other channels."""
PROMPT = torch.tensor([[BOS, 403, 407, 261, 378, 300, 420, 273, 411, 265, 432, 417]])

LAYERS = (
    "model.language_model.layers",
    "language_model.model.layers",
    "model.text_model.layers",
    "model.layers",
    "transformer.h",
    "transformer.blocks",
    "gpt_neox.layers",
    "gpt_neox_japanese.layers",
    "model.decoder.layers",
    "biogpt.layers",
    "model.L_module.layers",
    "rwkv.blocks",
    "backbone.blocks",
)
"""Where decoder layers are, the first that exists counts (ARCHITECTURES.md, sections 2 and 7)."""

PATHS = {
    "expert": r"(^|\.)experts\.(down_proj|mlp\.w2)$|^mlp\.output_linear\.weight$",
    "shared": r"(^|\.)(shared_experts?|shared_mlp)\.(down_proj|output_linear)(\.weight)?$",
    "latent": r"^(mixer\.fc2_latent|mlp\.post_expert)_proj\.weight$",
    "dense": r"^feed_forward\.value\.weight$|"
    r"^((mlp|mlps\.\d|feed_forward|ffn|mixer|mlp_block|shared_transf(ormer)?\.feed_forward)\.)?"
    r"(down_proj|w2|c_proj|dense_4h_to_h|fc2|fc_out|Wo|2|proj_down|ff_out)\.weight$",
}
"""By kind the parameters, relative to a layer."""


@dataclass(frozen=True)
class Site:
    """One down projection: its layer's number, its kind, and the parameter."""

    layer: int
    kind: str
    name: str
    parameter: nn.Parameter
    transposed: bool

    def matrices(self) -> Tensor:
        """(E, H, I), a view of the parameter; E is 1 for a projection that is not of experts."""
        data = self.parameter.data
        if self.name.endswith("mlp.w2"):  # DBRX: (E * I, H)
            data = data.view(8, -1, H)
        return (data.mT if self.transposed else data).view(-1, *(data.mT if self.transposed else data).shape[-2:])


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The decoder layers."""
    modules = dict(model.named_modules())
    found = next(modules[path] for path in LAYERS if path in modules)
    assert isinstance(found, nn.ModuleList)
    return found


def sites_of(model: PreTrainedModel) -> list[Site]:
    """Every down projection, by layer."""
    return [
        Site(number, kind, name, parameter, _transposed(model.config.get_text_config().model_type, kind, parameter))
        for number, layer in enumerate(layers_of(model))
        for name, parameter in layer.named_parameters()
        for kind, pattern in PATHS.items()
        if re.search(pattern, name) and H in parameter.shape[-2:]
    ]


def _transposed(model_type: str, kind: str, parameter: Tensor) -> bool:
    if parameter.shape[-1] == parameter.shape[-2]:
        return (model_type, kind) in SQUARE
    return parameter.shape[-1] == H


def kinds_of(model: PreTrainedModel) -> list[str]:
    """The kinds of down projection that a model has."""
    found = {site.kind for site in sites_of(model)}
    return [kind for kind in KINDS if kind in found]


def plant(model_type: str, folder: Path, kind: str) -> Plant:
    """Write a tiny checkpoint of a type with one planted scalar in a down projection of a kind."""
    model = tiny_model(model_type, 1 + KINDS.index(kind))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    sites = sites_of(model)
    site = _chosen(sites, kind, len(layers_of(model)))
    _silence(model, sites)
    expert, col = _driven(model, site)
    value = _write(model, site, expert, col)
    save(model, model_type, folder)
    tensor, index = stored(folder, value)
    experts = site.matrices().shape[0] > 1 or kind == "expert"
    return Plant(folder, (Scalar(site.layer, J, col, tensor, index, expert if experts else None),))


def save(model: PreTrainedModel, model_type: str, folder: Path) -> None:
    """Write a checkpoint in its published form, with a tokenizer."""
    model.save_pretrained(folder)
    add_tokenizer(folder)
    if rewrite := PUBLISHED.get(model_type):
        file = folder / "model.safetensors"
        save_file(dict(rewrite(n, t) for n, t in load_file(file).items()), file, metadata={"format": "pt"})


def _chosen(sites: list[Site], kind: str, layers: int) -> Site:
    """Neither in the first layer nor in the last, if possible."""
    return min((s for s in sites if s.kind == kind), key=lambda s: (s.layer in (0, layers - 1), s.layer == 0, s.layer))


def _silence(model: PreTrainedModel, sites: list[Site]) -> None:
    """Let no down projection write to J."""
    for site in sites:
        site.matrices()[:, J] = 0
        owner = layers_of(model)[site.layer].get_submodule(site.name.removesuffix(".weight").rpartition(".")[0])
        leaf = site.name.removesuffix(".weight").rpartition(".")[2]
        for name, bias in owner.named_parameters():
            if name in (f"{leaf}.bias", f"{leaf}_bias", "bias") and bias.shape[-1] == H:
                bias.data[..., J] = 0


def _driven(model: PreTrainedModel, site: Site) -> tuple[int, int]:
    """Expert and neuron that `<s>` drives hardest: the largest derivative of J by an element of its row."""
    site.parameter.requires_grad_(True)
    residual = residuals(model, site.layer, grad=True)[0]
    (slope,) = torch.autograd.grad(residual[..., J].sum(), site.parameter)
    site.parameter.requires_grad_(False)
    rows = Site(site.layer, site.kind, site.name, nn.Parameter(slope), site.transposed).matrices()[:, J]
    at = int(rows.abs().argmax())
    return at // rows.shape[1], at % rows.shape[1]


def _write(model: PreTrainedModel, site: Site, expert: int, col: int) -> float:
    """Make the neuron write to J alone, MASSIVE times the rest; return the value."""
    matrix = site.matrices()[expert]
    matrix[:, col] = 0
    target = MASSIVE * rest(residuals(model, site.layer)[0])
    before = spike(model, site.layer)
    matrix[J, col] = 1.0
    matrix[J, col] = -target / (spike(model, site.layer) - before)
    if dominance(model, site.layer) < 0.1 * MASSIVE:
        matrix[J, col] *= 30  # a norm stands behind the write
    if dominance(model, site.layer) < 0.02 * MASSIVE:
        _raise_gain(model, site.layer, target)
    return float(matrix[J, col])


def _raise_gain(model: PreTrainedModel, layer: int, target: float) -> None:
    """A norm stands behind the write: raise its gain at J, whichever norm it is."""
    gains = [p for p in layers_of(model)[layer].parameters() if p.shape == (H,)]
    reached = [_with_gain(model, layer, gain, target) for gain in gains]
    best = max(range(len(gains)), key=reached.__getitem__)
    gains[best].data[J] = target / 7


def _with_gain(model: PreTrainedModel, layer: int, gain: Tensor, value: float) -> float:
    kept = float(gain.data[J])
    gain.data[J] = value
    reached = abs(spike(model, layer))
    gain.data[J] = kept
    return reached


def rest(residual: Tensor) -> float:
    """Root mean square of the channels beside J."""
    others = [c for c in range(H) if c != J]
    return float(residual[..., others].square().mean().sqrt())


def dominance(model: PreTrainedModel, layer: int) -> float:
    """Channel J behind a layer at `<s>`, over the root mean square of the others."""
    return abs(spike(model, layer)) / rest(residuals(model, layer)[0])


def spike(model: PreTrainedModel, layer: int) -> float:
    """Channel J behind a layer at `<s>`: the largest of its streams."""
    values = residuals(model, layer)[0][..., J].flatten()
    return float(values[values.abs().argmax()])


def residuals(model: PreTrainedModel, layer: int, grad: bool = False) -> list[Tensor]:
    """Behind a layer the residual at each token of the prompt: (H,), or (streams, H)."""
    with recording(layers_of(model)[layer]) as kept, torch.set_grad_enabled(grad):
        model(input_ids=PROMPT, use_cache=False)
    out = kept[-1]
    tokens = out.shape.index(PROMPT.shape[1])
    return [out.select(tokens, t).squeeze() for t in range(out.shape[tokens])]


@contextmanager
def recording(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What a layer gives, call by call."""
    kept: list[Tensor] = []

    def hook(_module: nn.Module, _args: Any, out: Any) -> None:
        kept.append(out[0] if isinstance(out, tuple | list) else out)

    handle = layer.register_forward_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()


def stored(folder: Path, value: float) -> tuple[str, tuple[int, ...]]:
    """The stored tensor and the index of the one element that has this value."""
    found = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                found += [(name, tuple(at)) for at in (tensors.get_tensor(name) == value).nonzero().tolist()]
    if len(found) != 1:
        raise ValueError(f"{folder}: {value} is stored {len(found)} times: {found}")
    return found[0]


def loaded(folder: Path) -> PreTrainedModel:
    """The model as anybody would load it, float32."""
    model_type = config_of(folder)["model_type"]
    kinds: list[tuple[Any, Any]] = [
        (auto.AutoModelForImageTextToText, auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES),
        (auto.AutoModelForMultimodalLM, auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES),
        (auto.AutoModelForCausalLM, auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    ]
    kind = next(k for k, types in kinds if model_type in types)
    model, info = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        raise ValueError(f"{folder}: from_pretrained misses {info}")
    with suppress(ValueError):  # the same sums in the same order as experts one after the other
        model.set_experts_implementation("eager")
    made: PreTrainedModel = model.eval()
    return made
