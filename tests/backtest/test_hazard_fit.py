"""The file of a fitted queue_hazard: read only for its own market, and only unchanged."""

import json

import pytest

from mm.backtest.fills.hazard_fit import FEATURES, digest_of, read_hazard, with_numbers
from mm.errors import BrokenFile, DataError, Mismatch
from mm.instrument import Instrument

GRID = Instrument("LTUSDT", tick_e8=1_000_000, lot_e8=100_000)
FIT = {
    "kind": "queue_hazard",
    "symbol": "LTUSDT",
    "tick_size": "0.01",
    "coefficients": {name: place / 10 for place, name in enumerate(FEATURES)},
    "exponent": 1.0,
    "unit_qty_e8": 250_000,
}


def write(path, **changes):
    content = {**FIT, **changes}
    path.write_text(json.dumps({"digest": digest_of(content), **content}))
    return path


def test_fit_is_converted_to_lots_of_the_tape(tmp_path):
    numbers = read_hazard(write(tmp_path / "fit.json"), "LTUSDT", GRID)
    assert numbers == {"coefficients": [place / 10 for place in range(9)], "exponent": 1.0, "unit_lots": 2.5}
    assert with_numbers({"fit": tmp_path / "fit.json", "exponent": 2.0}, "LTUSDT", GRID)["exponent"] == 2.0
    assert with_numbers({"exponent": 2.0}, "LTUSDT", GRID) == {"exponent": 2.0}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"symbol": "BTCUSD"}, Mismatch, "fit for BTCUSD, but the run uses LTUSDT"),
        ({"tick_size": "0.001"}, Mismatch, "ticks of 0.001, but LTUSDT has ticks of 0.01"),
        ({"coefficients": {}}, BrokenFile, "not a fit of queue_hazard .*'one'"),
    ],
)
def test_fit_of_another_market_is_rejected(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        read_hazard(write(tmp_path / "fit.json", **changes), "LTUSDT", GRID)


def test_changed_or_missing_fit_file_is_rejected(tmp_path):
    path = write(tmp_path / "fit.json")
    path.write_text(path.read_text().replace('"exponent": 1.0', '"exponent": 2.0'))
    with pytest.raises(BrokenFile, match=r"changed since it was written \(digest\)"):
        read_hazard(path, "LTUSDT", GRID)
    with pytest.raises(DataError, match="there is no such file; `mm fills hazard` writes one"):
        read_hazard(tmp_path / "none.json", "LTUSDT", GRID)
