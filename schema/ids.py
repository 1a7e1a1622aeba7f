"""What a model id is. One rule for records, paths and the Hub; standard library only, for the fast look-up.

The Hub's own rule (`org/name`, letters, digits, `.`, `_`, `-`; no `..`, no `--`, no `.git` at the end), which also
makes an id a safe relative path.
"""

import re

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_MODEL_ID = re.compile(rf"(?!.*(?:\.\.|--))(?!.*\.git\Z){_PART}/{_PART}")


def is_model_id(text: object) -> bool:
    """Whether this is a Hub id `org/name`."""
    return isinstance(text, str) and _MODEL_ID.fullmatch(text) is not None
