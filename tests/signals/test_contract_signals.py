"""Signals of a contract: plain formulas over the rows that had arrived, equal offline and live, never a later row."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_tapes import TEST
from mm import Tape
from mm.dayfolder.contract_rows import FRESH_US, InterestRow, LiquidationRow, MarkRow
from mm.errors import UsageError
from mm.instrument import E8
from mm.signals.compute import compute, live
from mm.signals.other_feed import OtherFeed

NAMES = (
    "perp.premium",
    "perp.mark_basis",
    "perp.funding",
    "perp.funding_in",
    "perp.open_interest",
    "perp.liquidated_2s",
)
SECOND = 1_000_000
PAID_MS = 60_000


def tape_of(steps: int) -> Tape:
    """Return a market around 1.00 with a diff every 300 ms."""
    diffs = [(step * 300_000, "depth", [(99, 1 + step % 3)], []) for step in range(1, steps)]
    return Tape.of(TEST, [(0, "snapshot", [(99, 1)], [(101, 1)]), *diffs])


def columns(tape: Tape, rows: tuple[object, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the instants and values of the signals."""
    others = {"perp": OtherFeed(TEST, (tape,), told=lambda: rows)}  # type: ignore[arg-type,return-value]
    pieces = list(compute(tape, NAMES, others=others))
    return np.concatenate([one.recv_us for one in pieces]), np.concatenate([one.values for one in pieces], axis=1)


@st.composite
def told(draw: st.DrawFn) -> tuple[object, ...]:
    """Rows in order of arrival, with pauses longer than a mark price is fresh."""
    us, rows = 0, []
    for _ in range(draw(st.integers(0, 25))):
        us += draw(st.sampled_from((1, 300_000, 700_000, SECOND, FRESH_US + SECOND)))
        kind = draw(st.sampled_from("mmlo"))
        if kind == "m":
            paid = draw(st.sampled_from((PAID_MS, None)))
            rows.append(
                MarkRow(us, draw(st.integers(90, 110)) * E8 // 100, E8, draw(st.integers(-9, 9)) * 10_000, paid)
            )
        elif kind == "l":
            rows.append(LiquidationRow(us, draw(st.sampled_from((1, -1))), draw(st.integers(1, 9)) * E8, E8))
        else:
            rows.append(InterestRow(us, draw(st.integers(1, 99)) * E8))
    return tuple(rows)


@given(told())
def test_values_are_the_formulas_over_what_had_arrived(rows: tuple[object, ...]) -> None:
    """Worked out anew at each diff from all rows up to its instant."""
    tape = tape_of(60)
    instants, values = columns(tape, rows)
    for us, found in zip(instants, values.T, strict=True):
        known = [row for row in rows if row.recv_us <= us]  # type: ignore[attr-defined]
        marks = [row for row in known if isinstance(row, MarkRow)]
        mark = marks[-1] if marks and us - marks[-1].recv_us <= FRESH_US else None
        interests = [row for row in known if isinstance(row, InterestRow)]
        forced = [row for row in known if isinstance(row, LiquidationRow) and row.recv_us > us - 2 * SECOND]
        exact = [math.nan] * 6
        if mark:
            exact[0] = exact[1] = 1e4 * math.log(mark.mark_e8 / E8)
            exact[5] = sum(row.side * row.filled_e8 for row in forced) / E8
            if mark.funding_ms is not None:
                exact[2:4] = [1e4 * mark.rate_e8 / E8, PAID_MS / 1_000 - us / SECOND]
        if interests:
            exact[4] = interests[-1].amount_e8 / E8
        np.testing.assert_allclose(found, exact, atol=1e-9)


@given(told(), st.integers(0, 18))
def test_later_rows_change_nothing_before(rows: tuple[object, ...], cut_s: int) -> None:
    """The same values without the rows after an instant, up to that instant."""
    tape, cut_us = tape_of(60), cut_s * SECOND
    instants, values = columns(tape, rows)
    _, past = columns(tape, tuple(row for row in rows if row.recv_us <= cut_us))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(values[:, instants <= cut_us], past[:, instants <= cut_us])


@given(told())
def test_event_by_event_they_are_the_same(rows: tuple[object, ...]) -> None:
    """As a live market computes them."""
    tape = tape_of(20)
    others = {"perp": OtherFeed(TEST, (tape,), told=lambda: rows)}  # type: ignore[arg-type,return-value]
    fed = [[row[name] for name in NAMES] for row in live(tape, NAMES, others=others)]
    np.testing.assert_array_equal(np.array(fed, np.float64).T, columns(tape, rows)[1])


def test_a_market_without_such_rows_has_no_values_and_one_that_there_is_not_is_refused() -> None:
    """Spot, an older day; a name that OTHERS does not have."""
    tape = tape_of(5)
    assert np.isnan(columns(tape, ())[1]).all()
    with pytest.raises(UsageError, match="others"):
        list(compute(tape, ("perp.premium",)))
    assert all(earlier < later for earlier, later in pairwise(columns(tape, ())[0]))
