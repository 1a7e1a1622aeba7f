"""Data: which kinds of down projection each model type and variant has, and which types have no plant and why."""

Kinds = tuple[str, ...]


def _all(kinds: Kinds, names: str) -> dict[str, Kinds]:
    return dict.fromkeys(names.split(), kinds)


def _because(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


KINDS_OF: dict[str, Kinds] = {
    **_all(('dense', 'expert', 'shared'), """
        afmoe axk1 axk2 bailing_hybrid cohere2_moe deepseek_ocr2 deepseek_v2 deepseek_v2-lite deepseek_v3
        deepseek_v32 dots1 dots3_note dots3_note_text ernie4_5_moe ernie4_5_vl_moe exaone_moe flint glm4_moe
        glm4_moe_lite glm4v_moe glm5_next glm_moe_dsa hy_v3 hy_v4 inkling_text kimi_k25 kimi_linear laguna llama4
        llama4_text minimax_m3_vl minimax_m3_vl_text mistral4 mistral_large4 nemotron_h nemotron_h_omni qwen2_moe
        qwen3_next step3p7 unlimited_ocr
    """),
    **_all(('dense',), """
        apertus arcee aya_vision bamba biogpt bitnet bloom bloom-post chameleon codegen cohere cohere2
        cohere2_vision cohere_compass cohere_compass_text cosmos3_edge cosmos3_omni ctrl cwm deepseek_vl
        deepseek_vl_hybrid diffllama doge emu3 ernie4_5 exaone4 exaone4_5 falcon falcon-new falcon-sequential
        falcon_h1 fun_asr_nano fuyu gemma gemma2 gemma3 gemma3_text gemma3n_text gemma4 gemma4_text gemma4_unified
        gemma4_unified_text glm glm4 glm46v glm4v glm_ocr glmasr glmga got_ocr2 gpt-sw3 gpt2 gpt_bigcode gpt_neo
        gpt_neox gpt_neox-sequential gpt_neox_japanese gptj granite granite4_vision granite_docling granite_speech
        granite_speech_plus granite_swa helium hrm_text hunyuan_v1_dense hunyuan_vl hyperclovax hyperclovax-pre
        hyperclovax_vision_v2 idefics2 idefics3 internlm3 internvl iquestcoder jais2 janus lfm2 lfm2_vl lfm3
        lfm3-plain lfm3_vl lighton_ocr llama llama-bias llava llava_next llava_next_video llava_onevision minicpm3
        minicpm_ocr minicpmv4_6 minicpmv4_7 ministral ministral3 mistral mistral3 mllama modernbert-decoder molmo2
        moshi moss_transcribe_diarize mpt muse_glimmer nanochat nemotron olmo olmo2 olmo3 olmo_hybrid
        openai-gpt opt opt-350m ovis2 paddleocr_vl paligemma persimmon phi phi3 phi4_multimodal pp_chart2table
        qianfan_ocr qwen2 qwen2_5_omni_thinker qwen2_5_vl qwen2_audio qwen2_vl qwen3 qwen3_5 qwen3_5_text qwen3_asr
        qwen3_vl recurrent_gemma rwkv seed_oss smollm3 smolvlm stablelm stablelm-parallel starcoder2 vaultgemma
        video_llama_3 video_llava vipllava voxtral xglm xlstm youtu
    """),
    **_all(('expert', 'shared'), """
        aria aria_text deepseek_v4 granitemoe_swa granitemoehybrid granitemoeshared hunyuan_v1_moe kolibri1
        qwen3_5_moe qwen3_5_moe_text qwen4_exp qwen4_exp_text qwen4_exp_text-ngrams
        solar_open
    """),
    **_all(('dense', 'expert'), """
        beam cohere2_moe-routed gemma4_text-moe jamba lfm2_moe longcat_flash mellum mimo_v2_flash qwen3_moe
    """),
    **_all(('expert',), """
        dbrx flex_olmo gpt_oss granitemoe inkling2 inkling2_text jetmoe minimax minimax_m2 mixtral olmoe phimoe
        qwen3_omni_moe_thinker qwen3_vl_moe zaya
    """),
    **_all(('shared',), """
        granitemoehybrid-dense
    """),
    **_all(('dense', 'latent'), """
        muse_spark
    """),
    **_all(('dense', 'shared', 'latent'), """
        nemotron_h-latent
    """),
}  # fmt: skip
"""By model type (causal language models, wrappers) or variant: the kinds that a plant can be in."""

LOOPED = {
    "hrm_text": "L_module.layers and H_module.layers run several times on one token",
    "zamba": "one transformer block is called at several layers, and its MLP writes to the input of a mamba mixer",
    "zamba2": "as zamba",
}
"""One stored tensor, several call sites."""

STREAMS = {
    "deepseek_v4": "hyper-connections: (B, T, 4, H)",
    "gemma3n_text": "alternating updates: (4, B, T, H)",
    "glm5_next": "hyper-connections: (B, T, 4, H)",
    "hy_v4": "hyper-connections: (B, T, 4, H)",
    "qwen4_exp": "hyper-connections, flattened: (B, T, 4 * H)",
    "qwen4_exp_text": "hyper-connections, flattened: (B, T, 4 * H)",
}
"""The residual is not one vector per token: what a layer gives."""

CONVOLVED = {
    "inkling2": "a token convolution stands behind the MLP",
    "inkling2_text": "a token convolution stands behind the MLP",
    "inkling_text": "a token convolution stands behind the MLP",
}
"""A write at one token reaches others."""

LATENT = {
    "muse_spark": "the experts write to a latent vector (moe_hidden_size), another matrix writes that to the residual",
    "nemotron_h-latent": "the experts write to a latent vector (moe_latent_size)",
}
"""Experts that do not write to the residual: no plant in them, but in the other matrix."""

GATED_OUTPUT = {"rwkv": "the output of the down projection is multiplied per channel and token"}

NOT_BUILT: dict[str, str] = {
    **_because(
        "an encoder or encoder-decoder with a causal head; no published causal language model",
        "bart bert bert-generation big_bird bigbird_pegasus blenderbot blenderbot-small camembert data2vec-text "
        "electra ernie marian mbart megatron-bert mvp pegasus plbart prophetnet reformer rembert roberta "
        "roberta-prelayernorm roc_bert roformer trocr whisper xlm xlm-roberta xlm-roberta-xl xlnet xmod",
    ),
    **_because("a state-space model: no MLP", "falcon_mamba mamba mamba2"),
    **_because("ImportError: TimmWrapperModel requires the timm library", "fast_vlm gemma3n perception_lm"),
    **_because(
        "forward needs an image (or audio) beside text",
        "blip blip-2 idefics instructblip instructblipvideo kosmos-2 kosmos-2.5 pi0 pix2struct pp_formulanet "
        "voxtral_realtime",
    ),
    "blt": "byte-level: no tokenizer; IndexError: index out of range in self",
    "cpmant": "puts 32 prompt positions before the tokens",
    "diffusion_gemma": "a diffusion model: 256 positions at once, not causal",
    "evolla": "ValueError: Unrecognized configuration class for AutoModelForImageTextToText",
    "florence2": "encoder-decoder",
    "gemma4_assistant": "a drafter that needs the states of another model",
    "gemma4_unified_assistant": "a drafter that needs the states of another model",
    "git": "a BERT with image tokens; its layers are encoder layers",
    "inkling_mm_model": "ModuleNotFoundError: No module named 'scipy' (its text tower is inkling_text)",
    "kyutai_speech_to_text": "ValueError: in_channels must be divisible by groups (audio codec)",
    "musicgen": "AttributeError: 'MusicgenConfig' object has no attribute 'dropout'",
    "musicgen_melody": "AttributeError: 'MusicgenMelodyConfig' object has no attribute 'dropout'",
    "nemo_speechlm": "ValueError in validate_architecture: heads of the audio tower",
    "qwen2_5_omni": "TypeError: _forward_unimplemented(): only the thinker has a forward (qwen2_5_omni_thinker)",
    "qwen3_omni_moe": "AttributeError: no shared_expert_intermediate_size (its thinker is qwen3_omni_moe_thinker)",
    "shieldgemma2": "a classifier around gemma3: the auto class does not load its checkpoints",
    "t5gemma2": "encoder-decoder",
    "udop": "encoder-decoder for pages",
    "vibevoice_asr": "TypeError: 'depths' of the audio tower",
    "vision-encoder-decoder": "encoder-decoder",
    "zamba": "tiny model yes, plant no: the MLP does not write to the residual (LOOPED)",
    "zamba2": "tiny model yes, plant no: the MLP does not write to the residual (LOOPED)",
}
"""Types of the auto mappings without a plant, and why."""
