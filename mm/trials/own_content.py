"""A result without what depends on other trials on record.

A verdict allows for those trials, so the same work says another thing later; digests and comparisons use the value
beside it, ``_alone``.
"""

import hashlib
import json
from typing import Any

STRESSED = "stressed"
"""Role of the row of a sensitivity with the worst minute on record in it."""
_KEY, _ALONE = "trials", "_alone"
UNDONE = "above 0 from "
"""Prefix of the warning on a verdict above 0, which it may be alone and not beside other trials, or not."""
# Prefixes of warnings that depend on the trials; a reason for a null names what only some verdicts have.
TRIALS = "trials: "  # begin of a warning about the ledger
_OF_OTHERS = (TRIALS, UNDONE, "null: undone_by", "null: verdict.", "null: verdict_alone.")


def own_content(content: Any) -> Any:
    """Replace ``x`` by ``x_alone``, and drop ``trials``."""
    if isinstance(content, list):
        return [own_content(item) for item in content if not _is_of_others(item)]
    if not isinstance(content, dict):
        return content
    return {
        name: own_content(content.get(name + _ALONE, value) if name + _ALONE in content else value)
        for name, value in content.items()
        if not name.endswith(_ALONE) and not (name == _KEY and isinstance(value, dict))
    }


def _is_of_others(item: Any) -> bool:
    if isinstance(item, dict):
        return item.get("role") == STRESSED
    return isinstance(item, str) and item.startswith(_OF_OTHERS)


def own_sha256(content: Any) -> str:
    text = json.dumps(own_content(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
