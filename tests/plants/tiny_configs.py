"""Data: what makes a default configuration of each model type tiny, with every switch of the family kept.

`RULES` hold for every configuration that has the field, `EXTRA` are the keys of one model type, `VISION` the rules of
towers that are no decoder. H, I, and the widths of experts and shared experts differ, so that a shape tells which is
which, except where the family is published square.
"""

from typing import Any

from .tiny_wrappers import WRAPPERS

H = 48
"""Residual width."""
SHARED_WIDTH, EXPERT_WIDTH, DENSE_WIDTH = 64, 56, 80

RULES: dict[str, Any] = {
    # widths
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "attention_hidden_size", "lru_width"), H),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "dff"), DENSE_WIDTH),
    **dict.fromkeys(("dense_intermediate_size", "intermediate_size_mlp", "prefix_dense_intermediate_size"), 88),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size"), EXPERT_WIDTH),
    "shared_expert_intermediate_size": SHARED_WIDTH,
    "shared_intermediate_size": SHARED_WIDTH,
    "shared_experts_intermediate_size": SHARED_WIDTH,
    "moe_shared_expert_intermediate_size": SHARED_WIDTH,
    "n_inner": DENSE_WIDTH,
    "hidden_size_per_layer_input": 10,
    "laurel_rank": 6,
    "projector_hidden_size": 40,
    # depth
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 4),
    # attention
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    "head_dim": 16,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 16,
    "sliding_window_size": 64,
    "global_head_dim": 20,
    "query_pre_attn_scalar": 16,
    "kv_channels": 12,
    "q_lora_rank": 20,
    "kv_lora_rank": 18,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 14,
    "index_n_heads": 2,
    "index_head_dim": 12,
    "index_topk": 64,
    "rotary_dim": 4,
    "partial_rotary_factor": 0.5,
    "sliding_window": 64,
    "attention_window_size": 64,
    "local_attention": 64,
    "window_size": 64,
    "attention_chunk_size": 64,
    # vocabulary and positions
    "vocab_size": 512,
    "vocab_size_per_layer_input": 512,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 256),
    "bos_token_id": 1,
    "eos_token_id": 2,
    # mixtures of experts
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 8),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts"), 3),
    **dict.fromkeys(("num_shared_experts", "n_shared_experts", "moe_num_shared_experts"), 2),
    "num_dense_layers": 2,
    "first_k_dense_replace": 2,
    "mlp_layer_types": ["dense", "dense", "sparse", "sparse"],
    "routed_scaling_factor": 1.7,
    "moe_routed_scaling_factor": 1.7,
    "router_scaling_factor": 1.7,
    "route_scale": 1.7,
    "n_group": 2,
    "topk_group": 1,
    "num_mtp_layers": 0,
    "num_nextn_predict_layers": 0,
    # multipliers
    "residual_multiplier": 0.22,
    "embedding_multiplier": 2.0,
    "attention_multiplier": 0.2,
    "logits_scaling": 3.0,
    # state space, recurrences and convolutions
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 10,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "mamba_d_state": 8,
    "mamba_n_heads": 4,
    "mamba_d_head": 24,
    "mamba_chunk_size": 16,
    "use_mamba_kernels": False,
    "chunk_size": 16,
}

VISION: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "embed_dim", "d_model", "width"), 32),
    **dict.fromkeys(("intermediate_size", "mlp_dim"), 40),
    **dict.fromkeys(("num_hidden_layers", "depth", "num_layers", "depths"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "num_key_value_heads"), 4),
    **dict.fromkeys(("downsample_hidden_size", "projector_hidden_size"), 24),
    "head_dim": 8,
    "image_size": 28,
    "patch_size": 14,
    **dict.fromkeys(("out_hidden_size", "projection_dim", "proj_dim"), H),
}

ALTERNATING = ["sliding_attention", "full_attention"] * 2
HYBRID = ["linear_attention", "hybrid", "linear_attention", "hybrid", "hybrid"]
LINEAR_FIRST = ["linear_attention", "linear_attention", "full_attention", "linear_attention"]

EXTRA: dict[str, dict[str, Any]] = {
    "afmoe": {"mup_enabled": True},
    "aria_text": {"intermediate_size": H},
    "axk2": {"n_group": 2, "topk_group": 1},
    "bailing_hybrid": {"layer_types": LINEAR_FIRST, "head_dim": 8},
    "bamba": {"attn_layer_indices": [1, 3]},
    "cohere2_moe": {"first_k_dense_replace": 2, "mlp_layer_types": None},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": H, "ffn_hidden_size": EXPERT_WIDTH, "moe_num_experts": 8, "moe_top_k": 3},
    },
    "deepseek_v2": {"topk_method": "group_limited_greedy"},
    "deepseek_v4": {
        "o_groups": 2, "o_lora_rank": 12, "num_key_value_heads": 1, "partial_rotary_factor": 0.5,
        "mlp_layer_types": ["hash_moe", "moe", "moe", "moe"],
    },
    "doge": {"is_moe": False},
    "dots1": {"first_k_dense_replace": 2},
    "dots3_note_text": {
        "num_key_value_heads": 4, "layer_types": ["full_attention", "full_attention", "sliding_attention"] * 2,
        "num_hidden_layers": 6, "mlp_layer_types": ["dense", "dense", "sparse", "sparse", "sparse", "sparse"],
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_q_lora_rank": 20, "swa_kv_lora_rank": 18,
        "swa_head_dim": 20, "swa_qk_nope_head_dim": 12, "swa_v_head_dim": 14, "sliding_window": 64,
    },
    "ernie4_5_moe": {"moe_layer_start_index": 2},
    "exaone_moe": {"n_group": 2, "topk_group": 1},
    "falcon_h1": {"mamba_d_ssm": 96, "mlp_multipliers": [0.7, 0.5], "mamba_expand": 2},
    "flint": {"mlp_only_layers": [0, 1]},
    "gemma3n_text": {
        "num_hidden_layers": 6, "layer_types": ["sliding_attention", "full_attention"] * 3, "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
    },
    "gemma3_text": {"layer_types": ALTERNATING},
    "glm_moe_dsa": {"indexer_types": ["full", "shared", "full", "full"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gpt_oss": {"intermediate_size": H},
    "granitemoehybrid": {"layer_types": LINEAR_FIRST},
    "helium": {"head_dim": 12},
    "inkling2_text": {"layer_types": ["hybrid_sliding", "hybrid"] * 2},
    "inkling_text": {"layer_types": ["hybrid_sliding", "hybrid"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 0},
    "kimi_linear": {"layer_types": LINEAR_FIRST, "linear_head_dim": 8, "linear_num_heads": 4},
    "kolibri1": {"layer_types": ALTERNATING},
    "laguna": {"layer_types": ALTERNATING},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 2},
    "llama4_text": {"moe_layers": [1, 3], "num_experts_per_tok": 2},
    "longcat_flash": {"head_dim": 8, "num_key_value_heads": 4, "zero_expert_num": 3},
    "minicpm3": {"scale_depth": 1.4},
    "ministral": {"layer_types": ALTERNATING},
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "mlp", "moe", "full_attention", "mlp"], "ssm_state_size": 8,
        "mamba_num_heads": 4, "mamba_head_dim": 24, "n_groups": 2,
    },
    "qwen2_moe": {"mlp_only_layers": [1]},
    "qwen3_moe": {"mlp_only_layers": [1]},
    "qwen3_next": {"mlp_only_layers": [1]},
    "recurrent_gemma": {"block_types": ("recurrent", "attention")},
    "stablelm": {"partial_rotary_factor": 0.5},
    "xlstm": {"num_heads": 4, "num_blocks": 4, "qk_dim_factor": 0.5},
    "zamba": {
        "num_hidden_layers": 5, "layers_block_type": HYBRID,
        "attention_hidden_size": 96,
    },
    "zamba2": {
        "num_hidden_layers": 5, "layers_block_type": HYBRID,
    },
    "zaya": {"num_experts_per_tok": 1},
    **WRAPPERS,
}  # fmt: skip

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom-post": ("bloom", {"apply_residual_connection_post_layernorm": True}),
    "cohere2_moe-routed": ("cohere2_moe", {"num_shared_experts": 0}),
    "deepseek_v2-lite": ("deepseek_v2", {"q_lora_rank": None, "topk_method": "greedy", "n_group": 1}),
    "falcon-new": ("falcon", {"new_decoder_architecture": True}),
    "falcon-sequential": ("falcon", {"parallel_attn": False, "alibi": True, "bias": True}),
    "gemma4_text-moe": (
        "gemma4_text",
        {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 3, "moe_intermediate_size": EXPERT_WIDTH},
    ),
    "gpt_neox-sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "granitemoehybrid-dense": ("granitemoehybrid", {"num_local_experts": 0}),
    "hyperclovax-pre": ("hyperclovax", {"use_post_norm": False}),
    "lfm3-plain": ("lfm3", {"use_sandwich_norm": False}),
    "llama-bias": ("llama", {"mlp_bias": True, "attention_bias": True, "tie_word_embeddings": True}),
    "nemotron_h-latent": ("nemotron_h", {"moe_latent_size": 24}),
    "opt-350m": ("opt", {"do_layer_norm_before": False, "word_embed_proj_dim": 32}),
    "qwen4_exp_text-ngrams": (
        "qwen4_exp_text",
        {"ple_layer_ids": [1], "ple_embed_dim": 40, "ngram_vocab_size_base": 61, "heads_per_ngram": 2},
    ),
    "stablelm-parallel": ("stablelm", {"use_parallel_residual": True, "use_qkv_bias": True}),
}
"""Published models whose switches change the block: name to model type and keys."""

CLASSES: dict[str, str] = {}
"""Where the class of published checkpoints is not the one that the auto mappings name."""

SQUARE = frozenset({("gpt_oss", "expert"), ("aria_text", "expert")})
"""Square matrices that are kept with the input axis first."""
