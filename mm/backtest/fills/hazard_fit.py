"""The file of a fitted ``queue_hazard``: parameters, symbol, tick size and a checksum."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mm.errors import BrokenFile, DataError, Mismatch
from mm.instrument import Instrument, short_text

FEATURES = ("one", "reach", "surplus", "place", "imbalance", "spread", "age", "inside", "behind")
"""Features of a print; the log odds of a fill by it are linear in them.

``reach`` is ln((print + unit)/(ahead + unit)) within ±8, ``surplus`` its positive part, ``place`` the share of the
level that is ahead, ``imbalance`` (own − other)/(own + other) of the best prices' lots, ``spread`` ln(ticks) up to 20,
``age`` ln(1 + s); ``inside`` and ``behind`` are 1 where the price is better or worse than the best one of its side.
"""
KIND = "queue_hazard"


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a fit's content without its digest."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_hazard(path: Path, symbol: str, instrument: Instrument, step_lots: int = 1) -> dict[str, Any]:
    """Return the arguments of ``queue_hazard`` from the fit at *path*, checked against symbol and tick size.

    Its unit is in order steps, of *step_lots* lots of *instrument*.

    Raises:
        DataError: If there is no such file.
        BrokenFile: If it is not such a fit, or was changed since it was written.
        Mismatch: If it belongs to another symbol or tick size.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = {
            "coefficients": [float(content["coefficients"][name]) for name in FEATURES],
            "exponent": float(content["exponent"]),
        }
        unit_e8, fit_symbol, fit_tick = int(content["unit_qty_e8"]), str(content["symbol"]), str(content["tick_size"])
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; `mm fills hazard` writes one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFile(f"{path}: not a fit of {KIND} ({error!r}); write it again with `mm fills hazard`") from error
    if content.get("digest") != digest_of(content):
        raise BrokenFile(f"{path}: changed since it was written (digest); write it again with `mm fills hazard`")
    if fit_symbol != symbol:
        raise Mismatch(f"{path}: fit for {fit_symbol}, but the run uses {symbol}; fit {symbol}")
    if fit_tick != short_text(instrument.tick_e8):
        raise Mismatch(
            f"{path}: fit for ticks of {fit_tick}, but {symbol} has ticks of {short_text(instrument.tick_e8)}; "
            f"fit a day with this tick size"
        )
    return {**numbers, "unit_lots": unit_e8 / (instrument.lot_e8 * step_lots)}


def with_numbers(params: Mapping[str, Any], symbol: str, instrument: Instrument, step_lots: int = 1) -> dict[str, Any]:
    """Return the parameters of ``queue_hazard``, completed from the file in ``fit``; raises as `read_hazard`."""
    rest = {key: value for key, value in params.items() if key != "fit"}
    if params.get("fit") is None:
        return rest
    return {**read_hazard(Path(params["fit"]), symbol, instrument, step_lots), **rest}
