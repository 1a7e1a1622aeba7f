"""Where config.json says that weights are stored quantized. Without torch: a crawl asks it of every model."""

from typing import Any

Config = dict[str, Any]


def quantization(raw: Config) -> Any:
    """What config.json says of quantization, None for a plain checkpoint."""
    text = raw.get("text_config")
    for where in (raw, text if isinstance(text, dict) else {}):
        for key in ("quantization_config", "compression_config"):
            if where.get(key) is not None:
                return where[key]
    return None
