"""Data: the extra keys of wrappers around a text tower, of their towers, and of text towers that only exist in them."""

from typing import Any

H = 48


def mrope(*section: int, **more: Any) -> dict[str, Any]:
    """Rotary parameters whose sections of time, height and width fill half of a head."""
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(section), **more}}


ALTERNATING = ["full_attention", "sliding_attention"] * 2
AUDIO = {"encoder_attention_heads": 4, "encoder_ffn_dim": 40, "encoder_layers": 2, "output_dim": H}
CONFORMER = {"hidden_dim": 32, "num_layers": 1, "num_heads": 4, "max_pos_emb": 16, "context_size": 8}

WRAPPERS: dict[str, dict[str, Any]] = {
    # wrappers
    "chameleon": {"vocabulary_map": {"<image>": 509, "IMGIMGA": 508}},
    "cohere2_vision": {"alignment_intermediate_size": 40},
    "fun_asr_nano": {"adaptor_config": {"hidden_size": H, "num_attention_heads": 4, "intermediate_size": 12}},
    "emu3": {"vocabulary_map": {"<image>": 509, "<|extra_200|>": 508, "<|visual token 000000|>": 507}},
    "granite4_vision": {
        "downsample_rate": "1/2", "deepstack_layer_map": [], "spatial_target_layers": [],
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 40,
                          "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 28, "patch_size": 14},
    },
    "muse_glimmer": {"out_hidden_size": 32},
    "muse_spark": {"out_hidden_size": 32},
    "nemotron_h_omni": {"vision_hidden_size": 32},
    # text towers that only exist in wrappers
    "cohere_compass_text": {"rope_parameters": {"full_attention": mrope(2, 2, 2)["rope_parameters"]}},
    "cosmos3_edge_text": mrope(4, 2, 2),
    "ernie4_5_vl_moe_text": {"moe_intermediate_size": [56, 40], **mrope(2, 2, 2)},
    "glm4v_moe_text": mrope(1, 1, 1, partial_rotary_factor=0.5),
    "glm4v_text": mrope(2, 2, 2),
    "glm5_next_text": {"qk_rope_head_dim": 0, "index_kpool": 16, "linear_head_dim": 8, "linear_num_heads": 4},
    "glm_ocr_text": mrope(2, 2, 2),
    "hunyuan_vl_text": mrope(2, 3, 3),
    "muse_glimmer_text": {"layer_types": ALTERNATING},
    "muse_spark_text": {"layer_types": ALTERNATING, "moe_hidden_size": 24},
    "paddleocr_vl_text": mrope(4, 2, 2),
    "qwen2_5_omni_text": mrope(2, 2, 2),
    "qwen2_5_vl_text": mrope(2, 2, 2),
    "qwen2_vl_text": mrope(2, 2, 2),
    "qwen4_exp_text": {
        "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 64,
        "indexer_compress_ratio": 4, "hc_lowrank": 8, "ngram_vocab_size_base": 64, "split_ngram_parts": 4,
    },
    "step3p5": {"share_expert_dim": 64},
    "unlimited_ocr_text": {"num_key_value_heads": 4},
    # other towers
    "chameleon_vqgan": {"base_channels": 32, "channel_multiplier": [1, 1], "embed_dim": 8, "latent_channels": 32},
    "emu3_vqgan": {"base_channels": 32, "channel_multiplier": [1, 1], "embed_dim": 8, "latent_channels": 8},
    "dots3_note_audio_encoder": {"adapter_input_size": 32, "adapter_out_dim": H},
    "dots3_note_vision_encoder": {
        "mlp_layer_types": ["dense", "dense"], "adapter_in_dim": 32, "adapter_out_dim": H, "moe_intermediate_size": 24
    },
    "inkling2_vision": {"text_hidden_size": H, "projection_hidden_dim": 40},
    "inkling_vision": {"text_hidden_size": H},
    "inkling_audio": {"text_hidden_size": H},
    "muse_spark_audio": {"hidden_sizes": [16, 16], "depths": [1, 1], "patch_sizes": [4, 4], "num_hidden_layers": 2},
    "deepseek_ocr2_encoder": {"hidden_size": 32, "intermediate_size": 40, "num_key_value_heads": 2},
    "deepseek_ocr2_sam_vision_model": {"output_channels": 16, "downsample_channels": [16, 32]},
    "granite_speech_encoder": CONFORMER,
    "granite_speech_plus_encoder": CONFORMER,
    "phi4_multimodal_audio": {
        "num_blocks": 1, "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 32,
        "bias_max_distance": 16,
    },
    "pp_chart2table_vision": {"output_channels": 16},
    "unlimited_ocr_sam_vision_model": {"output_channels": 16, "downsample_channels": [16, 32]},
    "got_ocr2_vision": {"output_channels": 16},
    "janus_vqgan": {"base_channels": 32, "channel_multiplier": [1, 1], "embed_dim": 8, "latent_channels": 32},
    "llama4_vision_model": {"projector_input_dim": 32, "projector_output_dim": 32, "vision_output_dim": 32},
    "molmo2_adapter": {"vision_feature_layer": [-1, -2], "text_hidden_size": H, "intermediate_size": 40},
    "molmo2_vision": {"image_size": [28, 28]},
    "ovis2_vision": {"vocab_size": 64},
    "radio": {"max_img_size": 56, "video_temporal_patch_size": 2},
    "sam_vision_model": {"output_channels": 16},
    "qwen2_5_omni_audio_encoder": AUDIO,
    "qwen2_audio_encoder": AUDIO,
    "qwen3_asr_encoder": AUDIO,
    "qwen3_omni_moe_audio_encoder": AUDIO,
}  # fmt: skip
