"""Fills per second by distance, as seen: whole ticks and half ticks apart, and what orders only passed is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration.measured_rates import pooled_rates
from mm.calibration.points import Points


def rates_of(rows):
    """The rates of (distance, seconds, fills)."""
    return dict(pooled_rates(Points.of(*map(list, zip(*rows, strict=True)))))


def test_half_ticks_are_interpolated_between_half_ticks():
    """Orders in whole ticks stand under an even spread, when twice as much is filled: they say nothing of 4.5."""
    rows = [
        (0.5, 9e4, 72_000),
        (1, 9e3, 14_400),
        (3.5, 9e4, 28_800),
        (4, 9e3, 6300),
        (5.5, 9e4, 18_000),
        (6, 9e3, 3600),
    ]
    found = rates_of(rows)
    assert found[4.5] == pytest.approx((found[3.5] * found[5.5]) ** 0.5)
    assert found[5.0] == pytest.approx((found[4.0] * found[6.0]) ** 0.5)
    assert found[1.5] == pytest.approx(found[0.5] ** (2 / 3) * found[3.5] ** (1 / 3))
    assert {at: found[at] for at, *_ in rows} == pytest.approx({at: fills / seconds for at, seconds, fills in rows})
    assert list(found) == sorted(found)


def test_distances_that_orders_only_passed_are_left_out():
    """What fills there tells of a price that runs, not of a quote that stands there."""
    found = rates_of([(3.5, 9e4, 28_800), (4.5, 7e3, 7_000), (5.5, 9e4, 18_000)])
    assert found == {3.5: 0.32, 5.5: 0.2}


def test_distances_of_any_fraction_are_pooled_as_they_come():
    """From a micro-price there are no half ticks, and nothing is left out or put between."""
    found = rates_of([(0.5, 100, 30), (1.0, 50, 12), (1.25, 50, 8), (2.0, 1, 25), (9.0, 50, 25)])
    assert found == pytest.approx({0.5: 0.3, 1.125: 0.2, 2.0: 25.0, 9.0: 0.5})


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.floats(1, 1e6), st.integers(0, 500)), min_size=1, unique_by=lambda row: row[0]
    )
)
def test_rates_lie_within_those_that_were_seen(rows):
    """Distances rise, each is played or lies between played ones, and no rate is beyond those seen."""
    found = rates_of([(half / 2, seconds, fills) for half, seconds, fills in sorted(rows)])
    seen = [fills / seconds for _, seconds, fills in rows if fills]
    at = np.array(list(found))
    assert (np.diff(at) > 0).all()
    assert not found or min(row[0] for row in rows) / 2 <= at[0] <= at[-1] <= max(row[0] for row in rows) / 2
    assert all(min(seen) * (1 - 1e-9) <= rate <= max(seen) * (1 + 1e-9) for rate in found.values())
