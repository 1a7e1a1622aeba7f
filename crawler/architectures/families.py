"""The model types that the detector is proven on: each has a planted known answer in `tests/test_families.py`.

A data table, not code: adding a row means adding a plant. Another type is refused as `unsupported_architecture`.
"""

FAMILIES = frozenset(
    {
        "gemma",
        "gpt2",
        "gpt_neox",
        "llama",
        "mistral",
        "mixtral",
        "olmo",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "cohere",
        "gemma2",
        "gemma3_text",
        "glm",
        "granite",
        "olmo3",
        "olmoe",
        "phi",
        "qwen3_moe",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
