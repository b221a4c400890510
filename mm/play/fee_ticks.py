"""The fee of a fill as a parameter of quote models, from a commission rate that is known only at a start."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mm.backtest.models import QUOTE_MODELS, QUOTE_STEPS
from mm.play.knobs import Models
from mm.play.names import Registry, accepted_by

FEE_TICKS = "fee_ticks"


def with_fee_ticks(models: Models, ticks: float) -> Models:
    """Return *models* with this fee in each quote model and step of ours that has one, and for which none was given."""
    before = models.quote_params()
    after = _filled(QUOTE_MODELS, models.quote_model, before, ticks)
    return models if after == before else replace(models, quote_params_json=json.dumps(after))


def _filled(registry: Registry, name: str, params: Mapping[str, Any], ticks: float) -> dict[str, Any]:
    found = dict(params)
    for key, kind in (("model", QUOTE_MODELS), ("models", QUOTE_MODELS), ("steps", QUOTE_STEPS)):
        if key in found and name in ("steps", "mixed"):
            parts = [found[key]] if key == "model" else found[key]
            parts = [[part[0], _filled(kind, part[0], part[1], ticks), *part[2:]] for part in parts]
            found[key] = parts[0] if key == "model" else parts
    if name in registry and any(one.name == FEE_TICKS for one in accepted_by(registry[name])[0]):
        found.setdefault(FEE_TICKS, ticks)
    return found
