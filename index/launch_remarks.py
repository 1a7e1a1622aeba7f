"""Remarks of the curators on the launch data: disagreements between sources that no rule derives, and assumed ids.

Prose for readers. Nothing here carries a status.
"""

_SWAPPED = (
    "The words row and column are swapped in a caption of the paper and in a variable of the authors' code; here row "
    "is the output channel and col the input channel, as in both sources' own index order."
)
_MAP = (
    "The paper's Table 2 and the coordinate map of the authors' code differ: the code lacks Llama-2-7B and Llama-2-13B "
    "and adds Meta-Llama-3-8B, gemma-7b (marked insufficient) and falcon-7b (commented out)."
)
_INSTRUCT = (
    "Sources disagree: the paper says that instruction tuning leaves the coordinate where it was; a user (issue 4 of "
    "the authors' code) zeroed it and saw no damage, in greedy generation and without a perplexity."
)
_LATE = (
    "Coordinates in the last layers come from one re-detection by others. Late spikes are a known kind of false "
    "positive: those that were ablated were inert, the others were not tested."
)
_INCOMPLETE = "The set in the paper looks incomplete: {missing} is not in it and matters when removed with the rest."
_ONE_CANDIDATE = "The census tested one candidate row; it says nothing about other rows or about scalars."

CONFLICTS: dict[str, tuple[str, ...]] = {
    "allenai/OLMo-1B-0724-hf": (
        "Sources disagree on the second coordinate [1764, 8041]: the paper prints layer 1 (value 0.0018, inert); the "
        "authors' code, two third parties and a user (issue 6) say layer 2 (value -0.592, nearly inert alone).",
        _LATE,
    ),
    "huggyllama/llama-7b": (_SWAPPED,),
    "meta-llama/Llama-2-7b-hf": (
        _MAP,
        _INCOMPLETE.format(missing="(1, 1415, 7890)"),
        "Zeroing the pair in float16 was not finite. The source printed that as ratio infinity with the verdict 'no "
        "effect', which is a fault of its report.",
        _LATE,
    ),
    "meta-llama/Llama-2-13b-hf": (_MAP, _INCOMPLETE.format(missing="(3, 2100, 7678)")),
    "meta-llama/Meta-Llama-3-8B": (
        _MAP,
        "The authors' code spells the repository meta/Meta-Llama-3-8B, which does not exist in that form.",
    ),
    "google/gemma-7b": (_MAP,),
    "tiiuae/falcon-7b": (_MAP,),
    "huggyllama/llama-30b": (
        "The authors' code misspells this model's key (llama-3v0B).",
        "What is found depends on the prompt: the super activation of layer 10 appears with one of three prompts.",
    ),
    "huggyllama/llama-13b": ("What is found depends on the prompt: see (22, 2202, 7085), found with one of three.",),
    "microsoft/Phi-3-mini-4k-instruct": (
        "Each scalar alone stays within 2.5 % of the baseline; six together cost x671 in one source and x374 in "
        "another, which is known at second hand only; seven together x7974.",
        _INCOMPLETE.format(missing="(2, 1051, 808)"),
        "What is found depends on the prompt: see (2, 1693, 340).",
    ),
    "mistralai/Mistral-7B-Instruct-v0.1": (_INSTRUCT,),
    "meta-llama/Llama-2-7b-chat-hf": (_INSTRUCT,),
    "mistralai/Mistral-7B-v0.1": (_LATE,),
    "meta-llama/Llama-3.1-8B": (_LATE,),
    "allenai/OLMo-7B-0724-hf": (
        "Rules for choosing a row disagree: the largest layer-relative ratio is in layer 2, the largest activation in "
        "layer 30, the published and most damaging place in layer 1 (row 269 each time).",
        _LATE,
    ),
    "HuggingFaceTB/SmolLM2-1.7B": (
        "Sources disagree on the place: a notebook finds the scalar (1, 749, 4987) catastrophic; the row census picks "
        "layer 7, rows 227 and 161, and never tests layer 1.",
        "Plot titles of the notebook print the pair as [col, row]; its code indexes [row, col].",
    ),
    "Qwen/Qwen2.5-3B": (
        "Sources disagree on the layer: one zeroes scalar (2, 318, 3189), the row census picks row 318 of layer 30.",
    ),
    "GenerTeam/GENERator-v2-prokaryote-3b-base": (
        "An earlier claim for layer 2 row 1927 stands against the census, which picks layer 8 row 260. "
        + _ONE_CANDIDATE,
    ),
    "utter-project/EuroLLM-9B-Instruct": (
        "Two detectors of one source disagree on the second scalar: (1, 750, 9606) in the earlier, (9, 750, 3575), "
        "which is inert, in the newer.",
    ),
    "EuroBERT/EuroBERT-210m": ("Two tables of the census give different effects for this model.",),
    "EuroBERT/EuroBERT-610m": ("Two tables of the census give different effects for this model.",),
    "EuroBERT/EuroBERT-2.1B": ("Two tables of the census give different effects for this model.",),
    "openai-community/gpt2": ("The source's README and its log give different baselines (25.987 and 29.462).",),
    "deepseek-ai/deepseek-llm-7b-base": (
        "The source's notebook prints two values for the scalar, -2.546875 and -2.39062 (cells run out of order).",
    ),
    "Qwen/Qwen3-30B-A3B": ("Tables 6 and 7 of the source disagree on the layer of one outlier expert (47 or 1).",),
    "Qwen/Qwen2-7B-Instruct": (
        "The source names no model beside these three coordinates; that they belong to this one is inferred from the "
        "matrix size and from the models its scripts name.",
    ),
}
"""Disagreements that a reader of the record must see, by model."""

ASSUMED_IDS = {
    "liuhaotian/llava-v1.5-7b": "LLaVA-V1.5-7B",
    "google/gemma-4-E4B": "gemma-4-E4B",
    "arcinstitute/evo2_7b": "Evo2-7B",
}
"""Names that a source gives without a Hub id, by the id assumed here."""
ASSUMED = "The Hub id is assumed: the source names the model {name} only."

ID_REMARKS = {
    "CohereForAI/aya-expanse-8b": "The id is the source's; the organisation has since become CohereLabs on the Hub.",
    "huggyllama/llama-7b": "The id is written as on the Hub; the paper and its code write huggyllama/llama-7B.",
}

TENSOR_REMARK = "The tensor name is the usual one on disk for this model; the source does not print it."
LAYER_ONLY = frozenset({"CohereForAI/aya-expanse-8b"})
"""Models with the default tensor name whose source gives only the layer of a candidate."""
