"""What the launch files say only in prose, as tables: whose words, about what, with which numbers.

Nothing here is an opinion of swindex: a row reads one phrase of `index/published`. Knows nothing of files.
"""

from dataclasses import dataclass, field
from typing import Any

from ..schema.observation import Granularity, Stance

Place = tuple[int, int, int]
"""Layer, row, col."""

# --- who ---

ORIGINS = {
    "https://arxiv.org/abs/2411.07191": "yu-2024",
    "https://github.com/mengxiayu/LLMSuperWeight": "yu-2024",
    "https://github.com/mengxiayu/LLMSuperWeight/issues/2": "llmsuperweight-issue-2",
    "https://github.com/mengxiayu/LLMSuperWeight/issues/4": "llmsuperweight-issue-4",
    "https://github.com/mengxiayu/LLMSuperWeight/issues/6": "llmsuperweight-issue-6",
    "https://github.com/Georgakopoulos-Soares-lab/superweights": "georgakopoulos-soares-lab",
    "https://github.com/lea19019/arctos": "arctos",
    "https://github.com/fabianandresgrob/super_weights": "fab",
    "https://github.com/locuslab/massive-activations": "sun-2024",
    "https://arxiv.org/abs/2507.23279": "su-2025",
    "https://github.com/wangzhaode/llm-lab": "wangzhaode",
    "https://github.com/sahilpardasani/Analysing-Super-Weight-in-Large-Language-Models": "sahilpardasani",
    "https://github.com/sunmoonron/super-weight-circuit-patching": "sunmoonron",
    "https://github.com/cyita/LLMSuperWeight": "cyita",
    "https://github.com/aerubanov/SmolLMSuperWeight": "aerubanov",
    "https://github.com/rinkaSA/sparse-gpt-superweights": "rinkasa",
    "https://github.com/seanpattencode/gemma4-decompile": "seanpattencode",
    "https://github.com/brian-dragun/neural-weight-analysis-research": "brian-dragun",
}
"""Independent group of people behind a source, by its address. A paper and its authors' code are one."""

PAPER = "https://arxiv.org/abs/2411.07191"
PUBLISHED_ROLES = ("published coordinate", "published coordinate and ablation (Table 1)")
PUBLISHED_SET = "yu-2024-table-2"
"""Id of the group that holds a model's coordinates in the paper's Table 2."""

# --- what a source's phrase says ---


@dataclass(frozen=True)
class Reading:
    """How to read one phrase of a source."""

    stance: Stance
    about: Granularity = Granularity.SCALAR
    place: tuple[int, int] | None = None
    """Layer and row it is about, where these are not those of the entry it stands in."""
    zeroed: bool = False
    """Whether it reports zeroing the scalar."""
    told: dict[str, Any] = field(default_factory=dict)
    """Fields of the observation that the phrase spells out."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Further numbers that it spells out."""


_CLAIMS = Reading(Stance.CLAIMS)
_ZEROED = Reading(Stance.CLAIMS, zeroed=True)
_NOTES = Reading(Stance.NOTES)
_ROW = Reading(Stance.NOTES, Granularity.ROW)
_MODEL = Reading(Stance.NOTES, Granularity.MODEL)

ROLES = {
    "published coordinate": _CLAIMS,
    "hard-coded": _CLAIMS,
    "commented-out": _CLAIMS,
    "text claims same coordinates": _CLAIMS,
    "detection": _CLAIMS,
    "independent re-detection": _CLAIMS,
    "independent spike read-out": _CLAIMS,
    "detected with": _CLAIMS,
    "listed ": _CLAIMS,
    "super weight inside": _CLAIMS,
    "second contributor": _CLAIMS,
    "largest |": _CLAIMS,
    "value read in float16 and zeroed": _ZEROED,
    "zeroed in float32": _ZEROED,
    "detected and ablated: no effect (KL 0.000)": Reading(Stance.CLAIMS, zeroed=True, told={"kl": 0.0}),
    "early-detector candidate, ablated": Reading(Stance.DENIES, zeroed=True, told={"kl": 0.005}),
    "third party zeroed it": Reading(Stance.DENIES, zeroed=True),
    "generative HellaSwag": Reading(
        Stance.CLAIMS,
        zeroed=True,
        metrics={"hellaswag_before_percent": 43.6, "hellaswag_after_percent": 23.4, "items": 2500},
    ),
    "earlier detector of the same author: ablation KL 0.957": Reading(
        Stance.CLAIMS, zeroed=True, told={"kl": 0.957}, metrics={"chrf_before": 40.4, "chrf_after": 28.9, "n": 24}
    ),
    "earlier detector of the same author: ablation KL 1.252": Reading(
        Stance.CLAIMS, zeroed=True, told={"kl": 1.252}, metrics={"chrf_before": 52.0, "chrf_after": 28.4, "n": 24}
    ),
    "earlier detector of the same author: second load-bearing scalar": Reading(
        Stance.CLAIMS, zeroed=True, told={"kl": 2.975}, metrics={"n": 24}
    ),
    "earlier detector of the same author, layer 9": Reading(
        Stance.NOTES,
        Granularity.TENSOR,
        zeroed=True,
        told={"kl": 3.284},
        metrics={"chrf_before": 57.9, "chrf_after": 4.8, "n": 24},
    ),
    "weight-only recovery": _NOTES,
    "prompt dependence": _NOTES,
    "row level only": _ROW,
    "row 269 layer 1 is only rank 2": _ROW,
    "row level: layer 30 row 269": _ROW,
    "ratio argmax of the model": _ROW,
    "census of the same model selects layer 7 row 227": Reading(Stance.NOTES, Granularity.ROW, place=(7, 227)),
    "same row 318 but layer 30": Reading(Stance.NOTES, Granularity.ROW, place=(30, 318)),
    "a user also reports large layer-30 spikes": _MODEL,
    "census candidate for the sibling": Reading(
        Stance.NOTES,
        Granularity.MODEL,
        told={"caveat": "Figures and revision are those of the sibling Qwen/Qwen2.5-7B."},
    ),
}
"""Reading of a source's words, by how they begin; the longest beginning counts."""

SECOND_HAND = {
    "second-hand: reports that Subramanian": {"ppl_before": 7.44, "finite": False},
}
"""Words that repeat a figure of somebody else for a whole set, and the figures."""

# --- sets that were zeroed together ---

PROSE_SETS: dict[str, tuple[tuple[int, ...], ...]] = {
    "meta-llama/Meta-Llama-3-8B": ((1, 788, 2427), (1, 1384, 2427), (1, 4062, 2427)),
    "meta-llama/Llama-3.1-8B": ((1, 788, 2427), (1, 1384, 2427), (1, 4062, 2427)),
    "meta-llama/Llama-3.1-8B-Instruct": ((1, 788, 2427), (1, 1384, 2427), (1, 4062, 2427)),
    "meta-llama/Llama-3.2-1B": ((1, 400, 1417), (1, 698, 1417), (1, 2029, 1417), (1, 1159, 1417)),
    "liuhaotian/llava-v1.5-7b": ((1, 1415, 7890), (1, 2533, 7890)),
    "Qwen/Qwen3-30B-A3B": ((1, 940, 711), (2, 940, 59), (3, 940, 423)),
    "Unbabel/TowerBase-7B-v0.1": ((1, 2533, 7890), (1, 1415, 7890)),
}
"""Members of the one set of each model that the file names in words ("three scalars on input column 2427")."""

BOTH_DETECTED: dict[str, tuple[Place, ...]] = {"mistralai/Mistral-7B-v0.1": ((1, 2070, 7310), (31, 53, 2187))}
"""What "zero both detected scalars" zeroed."""

SECOND_HAND_RATIO = {"microsoft/Phi-3-mini-4k-instruct": 374.0}
"""The ratio that a `second_hand` note of a set spells out."""


@dataclass(frozen=True)
class Joint:
    """A further result on a set, spelled out in the words beside another one of the same file and commit."""

    members: tuple[Place, ...]
    ratio: float
    words: str
    ci95: tuple[float, float] | None = None
    group: bool = False
    """Whether it is a set of its own, and not one member left out of another."""


_L13 = {c: (2, r, c) for r, c in ((2231, 2278), (2231, 6939))}
_L13_THIRD = (2, 2202, 2278)
_L30 = {12817: (3, 5633, 12817), 17439: (3, 5633, 17439), 14386: (10, 5633, 14386)}
_PHI = (
    tuple((2, r, 808) for r in (525, 1693, 1113)) + tuple((4, r, 2723) for r in (525, 1113, 1693)) + ((2, 1051, 808),)
)
_PHI_KEEPING = {0: 1.18, 1: 1.26, 2: 1.30, 3: 6988.0, 4: 7013.0, 5: 7131.0}
_PHI_FIVE = ((2, 525, 808), (2, 1693, 808), (4, 525, 2723), (4, 1113, 2723), (2, 1051, 808))


def _without(members: tuple[Place, ...], kept: Place) -> tuple[Place, ...]:
    return tuple(m for m in members if m != kept)


ALSO: dict[str, tuple[Joint, ...]] = {
    "huggyllama/llama-13b": (
        Joint(
            (_L13[2278], _L13[6939], _L13_THIRD),
            178.30,
            "with (2,2202,2278) added x178.30",
            (166.22, 192.17),
            group=True,
        ),
        Joint((_L13[2278], _L13_THIRD), 1.11, "(2,2231,2278)+(2,2202,2278) only x1.11"),
        Joint((_L13_THIRD, _L13[6939]), 1.01, "(2,2202,2278)+(2,2231,6939) only x1.01"),
    ),
    "huggyllama/llama-30b": tuple(
        Joint(_without(tuple(_L30.values()), _L30[col]), ratio, f"leave-one-out: keeping {col} x{ratio}")
        for col, ratio in {12817: 1.002, 17439: 47.57, 14386: 54.15}.items()
    ),
    "microsoft/Phi-3-mini-4k-instruct": (
        *(
            Joint(_without(_PHI, _PHI[i]), ratio, f"leave-one-out of the seven: keeping {_PHI[i]} x{ratio:g}")
            for i, ratio in _PHI_KEEPING.items()
        ),
        Joint(_PHI_FIVE, 1.16, "the five that the source's detector found: x1.16"),
    ),
}
"""Leave-one-out and other results of `effect_joint.also`. What an entry of the file holds itself is not repeated."""

# --- negatives ---

COORDINATE_LEVEL = ("published coordinate", "published row claim", "census candidate row")
"""How a negative claim begins that is about one place and not about the model."""

NEGATIVE_TENSORS = {
    "google/gemma-3-12b-it": "language_model.model.layers.{layer}.mlp.down_proj.weight",
    "bigscience/bloom-7b1": "h.{layer}.mlp.dense_4h_to_h.weight",
    "EleutherAI/pythia-1b": "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.weight",
    "openai-community/gpt2": "h.{layer}.mlp.c_proj.weight",
}
"""Names on disk of down projections that a negative gives only by layer; not printed by the sources."""
DEFAULT_TENSOR = "model.layers.{layer}.mlp.down_proj.weight"
TRANSPOSED = frozenset({"openai-community/gpt2"})
"""Models whose down projection is stored [in, out] (Conv1D)."""

EARLIER_STUDY: dict[str, tuple[tuple[int, str, dict[str, float]], ...]] = {
    "google/gemma-3-12b-it": ((47, "tested layer 47: KL 0.005, translation unchanged", {"kl": 0.005}),),
    "CohereForAI/aya-expanse-8b": (
        (2, "layer 2: KL 0.002", {"kl": 0.002}),
        (31, "layer-31 spike of 732 inert (KL 4e-7)", {"kl": 4e-7, "activation_out": 732.0}),
    ),
    "bigscience/bloom-7b1": ((0, "layer 0: KL 0.001", {"kl": 0.001}),),
}
"""What the `second_source` of a negative says, as its note spells it out: layer, words, figures."""
