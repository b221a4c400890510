"""Names of signals: available names, and messages for invalid names."""

import numpy as np
import pytest

from engine_tapes import BEGIN_US, TEST
from mm import Tape
from mm.errors import UnknownModel, UsageError
from mm.signals.compute import compute, live
from mm.signals.families import SIGNALS, listed


def test_invalid_signal_names_are_rejected():
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", [(99, 1)], [(101, 1)]), (BEGIN_US, "depth", [(98, 1)], [])])
    with pytest.raises(UnknownModel, match=r"unknown signal 'imbalance'; available: spread"):
        list(compute(tape, ["imbalance"]))
    for name, suggestion in (
        ("microprice", "micro_price"),
        ("imbalanced_5", "imbalance_5"),
        ("own_ask_aged", "own_ask_age"),
    ):
        with pytest.raises(UnknownModel, match=rf"in their name; did you mean {suggestion}\?$"):
            list(compute(tape, [name]))
    with pytest.raises(UnknownModel, match=r"in their name$"):
        list(compute(tape, ["xyz"]))
    for name, message in (("imbalance_21", "21 levels"), ("momentum_100000s", "the maximum is 86400s")):
        with pytest.raises(UsageError, match=message):
            list(live(tape, [name]))
    with pytest.raises(UsageError, match="given twice: spread"):
        list(compute(tape, ["spread", "mid", "spread"]))
    with pytest.raises(UsageError, match="2s or more"):
        list(compute(tape, ["bipower_1500ms"]))
    assert [row["recv_seq"] for row in live(tape, ["spread"])] == [2]


def test_every_usual_name_matches_one_family():
    for name in SIGNALS.usual:
        assert [one.name for one in SIGNALS.families if one.match(name)] == [SIGNALS.family(name).name]


def test_listed_families_have_unit_formula_and_source():
    rows = list(listed(SIGNALS.families))
    assert {row["group"] for row in rows} >= {"state", "flow", "path"}
    for row in rows:
        assert all(row[key] for key in ("name", "unit", "formula", "source")), row
        assert all(SIGNALS.described(name)["unit"] == row["unit"] for name in row["usual"])


def test_a_window_is_whole_at_the_very_instant_of_its_length():
    """From a snapshot at 1 s on, ten seconds are there at 11 s."""
    begin, second = [(1_000_000, "snapshot", [(90, 5)], [(92, 5)])], 1_000_000
    tape = Tape.of(TEST, begin + [(at * second, "depth", [(90, 5 + at)], []) for at in range(2, 14)])
    (rows,) = compute(tape, ("ofi_10s", "signed_volume_10s", "momentum_10s", "realised_volatility_10s", "range_10s"))
    assert (~np.isnan(rows.values) == (rows.recv_us >= 11 * second)).all()
