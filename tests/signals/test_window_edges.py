"""A window is open at its start and closed at its end, to the µs, and a signal is defined once it is covered."""

import pytest

from engine_tapes import TEST
from mm import Tape
from mm.signals.compute import live

SECOND = 1_000_000


def rows_of(name, *events):
    """Return instant and value of a signal at each diff of a tape that begins with a snapshot at 0."""
    tape = Tape.of(TEST, [(0, "snapshot", [(99, 5)], [(101, 5)]), *events])
    return [(row["recv_us"], row[name]) for row in live(tape, [name])]


def diff(us, lots=7):
    return (us, "depth", [(99, lots)], [])


def lots(number):
    return pytest.approx(number * TEST.lot_e8 / 1e8)


@pytest.mark.parametrize(("after_us", "seen"), [(SECOND - 1, 3), (SECOND, 0), (SECOND + 1, 0)])
def test_a_print_leaves_the_window_when_it_is_as_old_as_the_window_is_long(after_us, seen):
    printed_us = 5 * SECOND
    rows = rows_of("signed_volume_1s", (printed_us, "trade", 1, 101, 3), diff(printed_us + after_us))
    assert rows == [(printed_us + after_us, lots(seen))]


@pytest.mark.parametrize(("name", "value"), [("signed_volume_1s", 0.0), ("momentum_1s", 0.0), ("ofi_1s", None)])
def test_a_signal_is_defined_once_its_window_is_covered(name, value):
    """Not one µs earlier: until then the sum would lack what was before the first message."""
    early, due = rows_of(name, diff(SECOND - 1), diff(SECOND, 9))
    assert early == (SECOND - 1, None)
    assert due[1] is not None
    assert value is None or due[1] == value


@pytest.mark.parametrize(("after_us", "seen"), [(SECOND - 1, 2), (SECOND, 0)])
def test_flow_leaves_the_window_when_it_is_as_old_as_the_window_is_long(after_us, seen):
    at_us = 5 * SECOND
    rows = rows_of("ofi_1s", diff(at_us, 7), (at_us + after_us, "depth", [(98, 1)], []))
    assert rows[-1] == (at_us + after_us, lots(seen))


@pytest.mark.parametrize(("after_us", "moved"), [(SECOND - 1, 1.0), (SECOND, 0.0)])
def test_momentum_counts_the_mid_that_was_in_force_a_window_earlier(after_us, moved):
    at_us = 5 * SECOND
    rows = rows_of("momentum_1s", (at_us, "depth", [(100, 5)], []), diff(at_us + after_us))
    assert rows[-1][1] == pytest.approx(moved * 0.5)
