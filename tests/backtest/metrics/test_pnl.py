"""The account at every state row, the parts of the PnL, and round trips."""

from collections import deque
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journals import BTCUSDT, Scribe, run_terms, scribes
from mm import Result
from mm.backtest.journal import Fills, State
from mm.backtest.metrics.pnl import EquitySeries, account_series, pairs, round_trip_stats, split, together
from mm.errors import MMError
from mm.instrument import Instrument
from mm.tape import columns

CASH_E8 = 1_000 * 10**8
S, MINUTE = 1_000_000, 60_000_000
TICK, LOT = 0.01, 1e-5


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_equity_is_cash_plus_inventory_at_the_mark(scribe):
    """Exactly, from the instrument alone."""
    account, grid = account_series(scribe.journal().state, scribe.instrument, CASH_E8), scribe.instrument
    for row, equity, mark in zip(scribe.states, account.equity.tolist(), account.marks2.tolist(), strict=True):
        _, held, cash_tl, fees_e8, _, _ = row
        tick_lot = Fraction(grid.tick_e8 * grid.lot_e8, 10**16)
        expected = Fraction(CASH_E8 - fees_e8, 10**8) + (cash_tl + Fraction(held * mark, 2)) * tick_lot
        assert Fraction(equity, account.per_quote) == expected


def last_valid(mids):
    """Return *mids* with each 0 replaced by the previous non-zero value, else by the first one."""
    first = next((mid for mid in mids if mid), 0)
    found = [first]
    for mid in mids:
        found.append(mid or found[-1])
    return found[1:]


@pytest.mark.parametrize("mids", [[0, 0, 7, 0, 9, 0], [0, 0], [5], [0]])
def test_marks_are_carried_over_gaps_of_the_book(mids):
    """The last valid mid is the mark until the next one; before the first, the first is."""
    state = State.empty(len(mids))
    state.mid2 = mids
    account = account_series(state, BTCUSDT, CASH_E8)
    assert account.marks2.tolist() == last_valid(mids)
    assert account.valid.tolist() == [mid > 0 for mid in mids]


def test_rows_are_released_in_pieces(monkeypatch):
    """A mark is carried from one piece to the next, and back over several pieces before the first."""
    rows = 1_000_000
    state = State.empty(rows)
    state.us = np.arange(rows)
    state.mid2[[440_000, 600_000]] = 7, -9
    released = []
    monkeypatch.setattr(columns, "release", lambda piece: released.append(len(piece)))
    account = account_series(state, BTCUSDT, CASH_E8)
    assert account.marks2.tolist() == [7] * 600_000 + [-9] * 400_000
    assert np.flatnonzero(account.valid).tolist() == [440_000]
    assert sum(released) == rows
    assert max(released) < rows / 4


def account_series_of(scribe):
    return account_series(scribe.journal().state, scribe.instrument, CASH_E8)


@settings(max_examples=100, deadline=None)
@given(scribes(), st.integers(-5_000, 5_000))
def test_quoting_and_hold_are_recomputed_exactly(scribe, target):
    """Each part is recomputed in another way: row by row over the state, in fractions."""
    journal, terms = scribe.journal(), run_terms(scribe.instrument, target_lots=target)
    account = account_series(journal.state, scribe.instrument, terms.initial_cash_e8, target)
    pnl = split(journal.fills, account, terms)
    marks = last_valid(journal.state[:, 4].tolist())
    if not any(marks):
        assert pnl is None
        return
    assert pnl.total == pnl.quoting + pnl.hold
    assert pnl.quoting == pnl.spread + pnl.inventory - pnl.fees
    half_tick = Fraction(scribe.instrument.tick_e8, 2 * 10**8)
    lot = Fraction(scribe.instrument.lot_e8, 10**8)
    rows = list(zip(journal.state[:, 1].tolist(), marks, strict=True))
    carried = sum((held - target) * (now - before) for (held, before), (_, now) in pairwise(rows))
    assert Fraction(pnl.inventory, account.per_quote) == carried * half_tick * lot
    assert Fraction(pnl.hold, account.per_quote) == target * (marks[-1] - marks[0]) * half_tick * lot
    held = [
        int(equity) - target * mark * account.half_tl for equity, (_, mark) in zip(account.equity, rows, strict=True)
    ]
    assert account.quoting.tolist() == [units - held[0] for units in held]
    assert Fraction(pnl.fees, account.per_quote) == Fraction(int(journal.fills[:, 5].sum()), 10**8)


def test_amounts_beyond_64_bits_stay_exact():
    """Where products would overflow, the account uses Python's integers."""
    scribe = Scribe(instrument=Instrument("BIGUSDT", tick_e8=3, lot_e8=7))
    scribe.move(2 * 10**12 + 1)
    scribe.state()
    scribe.fill(scribe.place(1, 10**12, 9 * 10**6), 1, 10**12, 9 * 10**6)
    scribe.wait(S)
    scribe.move(2 * 10**12 + 5)
    scribe.state()
    account = account_series_of(scribe)
    pnl = split(scribe.journal().fills, account)
    assert account.equity.dtype == object
    assert Fraction(pnl.spread + pnl.inventory, account.per_quote) == 5 * 9 * 10**6 * Fraction(21, 2 * 10**16)


def test_inconsistent_journal_raises_an_error():
    """Fills and state rows that disagree are an engine error."""
    scribe = Scribe()
    scribe.move(17_400_000)
    scribe.state()
    scribe.fill(scribe.place(1, 8_699_990, 100), 1, 8_699_990, 100)
    journal = scribe.journal()
    journal.state[-1, 3] += 1
    with pytest.raises(MMError, match=r"differ by -1e-08 of the quote asset"):
        split(journal.fills, account_series(journal.state, BTCUSDT, CASH_E8))


OF_THE_ACCOUNT = {
    "markouts",
    "account",
    "initial_equity",
    "pnl_total",
    "pnl_hold",
    "inventory",
    "target_inventory",
    "daily",
}


@settings(max_examples=60, deadline=None)
@given(scribes(), st.integers(-10_000, 10_000))
def test_same_fills_with_another_holding_give_the_same_numbers(scribe, more):
    """To the digit: all but the numbers of the whole account."""
    journal, target = scribe.journal(), scribe.states[0][1] if scribe.states else 0
    other = scribe.journal()
    other.state[:, 1] += more
    other.fills[:, 8] += more
    first, second = (
        Result(one, run_terms(scribe.instrument, target_lots=lots)).summary
        for one, lots in ((journal, target), (other, target + more))
    )
    for summary in (first, second):
        summary["pnl_by_day"] = [(row["pnl"], row["n_fills"]) for row in summary["daily"]]
        summary["warnings"] = [line for line in summary["warnings"] if not line.startswith("null: ")]
        summary["half_life_s"] = summary["inventory"]["half_life_s"]
    assert {key: value for key, value in first.items() if key not in OF_THE_ACCOUNT} == {
        key: value for key, value in second.items() if key not in OF_THE_ACCOUNT
    }


def test_holding_without_quotes_earns_nothing():
    """200 lots held while the mid falls by 10 ticks: zeros, ratios of null with a reason, and the account beside."""
    scribe = Scribe(initial_lots=200)
    for second in range(1_500):
        scribe.move(20_000 - second % 40)
        scribe.state()
        scribe.wait(S)
    summary = Result(scribe.journal(), run_terms(scribe.instrument, target_lots=200)).summary
    zeros = ("pnl_quoting", "pnl_inventory", "max_drawdown", "drawdown_duration_s")
    assert [summary[name] for name in zeros] == [0.0] * 4
    assert summary["under_water"] == {"s": 0.0, "share": 0.0, "unrecovered": False}
    assert summary["pnl_total"] == summary["pnl_hold"] == pytest.approx(-19 / 2 * 200 * TICK * LOT)
    assert summary["account"]["max_drawdown"] == pytest.approx(39 / 2 * 200 * TICK * LOT)
    began = summary["account"]["equity_start"]
    assert began == pytest.approx(1_000 + 10_000 * 200 * TICK * LOT)
    assert summary["account"]["max_drawdown_share"] == pytest.approx(39 / 2 * 200 * TICK * LOT / began)
    why = " ".join(line for line in summary["warnings"] if line.startswith("null: "))
    for name in ("sharpe", "sharpe_autocorr", "sharpe_ci95", "sortino", "calmar", "psr"):
        assert summary[name] is None
        assert name in why


def summary_of_fills(*fills, fee_rate=0.0, initial_lots=0):
    """Return the summary of fills (side, ticks, lots), one second apart."""
    scribe = Scribe(fee_rate=fee_rate, initial_lots=initial_lots)
    scribe.move(20_000)
    scribe.state()
    for side, ticks, lots in fills:
        scribe.wait(1_000_000)
        scribe.fill(scribe.place(side, ticks, lots), side, ticks, lots)
    scribe.wait(1_000_000)
    scribe.state()
    return Result(scribe.journal(), run_terms(scribe.instrument)).summary


def test_fill_that_closes_two_fills_is_one_trade():
    """3 bought at 100 and 1 at 90, 4 sold at 110: one trade of 3·10 + 1·20, held for 1.75 s on average."""
    summary = summary_of_fills((1, 100, 3), (1, 90, 1), (-1, 110, 4))
    trips = summary["round_trips"]
    assert trips["n"] == 1
    assert trips["mean"] == trips["best"] == pytest.approx(50 * TICK * LOT)
    assert trips["holding_s"] == pytest.approx(1.75)
    assert summary["pnl_unrealised"] == 0.0


def test_fill_that_reverses_the_position_closes_and_opens():
    """Sold 2 at 100, bought 5 at 90, sold 3 at 80: a win of 20 and a loss of 30."""
    trips = summary_of_fills((-1, 100, 2), (1, 90, 5), (-1, 80, 3))["round_trips"]
    assert (trips["n"], trips["win_rate"]) == (2, 0.5)
    assert trips["best"] == pytest.approx(20 * TICK * LOT)
    assert trips["worst"] == pytest.approx(-30 * TICK * LOT)
    assert trips["median"] == pytest.approx(-5 * TICK * LOT)


def test_initial_inventory_is_not_part_of_round_trips():
    """A sale out of the initial inventory opens a trade, and a purchase closes it."""
    trips = summary_of_fills((-1, 110, 2), (1, 100, 2), initial_lots=1_000)["round_trips"]
    assert (trips["n"], trips["win_rate"]) == (1, 1.0)


def test_fees_of_both_fills_count_in_a_round_trip():
    """Bought and sold at one price, a trade loses both fees; a gain of 0 is no win."""
    free = summary_of_fills((1, 10_000, 1_000), (-1, 10_000, 1_000))["round_trips"]
    paid = summary_of_fills((1, 10_000, 1_000), (-1, 10_000, 1_000), fee_rate=0.001)["round_trips"]
    assert (free["mean"], free["win_rate"]) == (0.0, 0.0)
    assert paid["mean"] == pytest.approx(-2 * 0.001 * 100.0 * 0.01)


def test_open_position_is_unrealised_pnl():
    """4 bought at 10 ticks under the mid, 1 sold at it: 10 ticks realised, 30 left at the mid."""
    summary = summary_of_fills((1, 9_990, 4), (-1, 10_000, 1))
    assert summary["pnl_realised"] == pytest.approx(10 * TICK * LOT)
    assert summary["pnl_unrealised"] == pytest.approx(30 * TICK * LOT)
    assert summary["pnl_total"] == pytest.approx(40 * TICK * LOT)


def test_statistics_without_round_trips_are_null():
    """Two purchases are no round trip, and the reason is in the warnings."""
    summary = summary_of_fills((1, 100, 1), (1, 100, 1))
    assert summary["round_trips"]["n"] == 0
    assert summary["round_trips"]["win_rate"] is None
    assert any("no quantity was bought and sold again" in line for line in summary["warnings"])


def test_quantities_beyond_64_bits_are_matched_exactly():
    """Ten fills of 2⁶⁰ lots add up to more than an int64 holds."""
    many = 2**60
    summary = summary_of_fills(*[(1, 1, many), (-1, 2, many)] * 5)
    assert (summary["round_trips"]["n"], summary["round_trips"]["win_rate"]) == (5, 1.0)
    assert summary["pnl_realised"] == pytest.approx(5 * many * TICK * LOT)


def random_fills(seed, count):
    """Return random fills: rising instants, sides, prices, lots, and fees."""
    random = np.random.default_rng(seed)
    fills = Fills(random.integers(-(10**6), 10**6, (count, Fills.width())))
    fills.us = 7 + np.cumsum(random.integers(0, 10**7, count))
    fills.side = random.choice([-1, 1], count)
    fills.ticks, fills.lots = random.integers(90, 110, count), random.integers(0, 8, count)
    return fills


@pytest.mark.parametrize("seed", range(20))
def test_lots_are_matched_first_in_first_out(seed):
    """Two queues, whose heads are matched while both have lots."""
    fills = random_fills(seed, 40 if seed else 0)
    queues, matched = (deque(), deque()), []
    for row, (side, lots) in enumerate(zip(fills.side.tolist(), fills.lots.tolist(), strict=True)):
        queues[side < 0].extend([row] * lots)
    while all(queues):
        pair = (queues[0].popleft(), queues[1].popleft())
        if matched and matched[-1][:2] == pair:
            matched[-1] = (*pair, matched[-1][2] + 1)
        else:
            matched.append((*pair, 1))
    found = pairs(fills)
    assert list(zip(found.buy.tolist(), found.sell.tolist(), found.lots.tolist(), strict=True)) == matched


@pytest.mark.parametrize("seed", range(20))
def test_round_trips_equal_those_of_pairs_in_fractions(seed):
    """Pair by pair, for each closing fill."""
    fills = random_fills(seed, 60)
    matched, rows, trips = pairs(fills), fills.tolist(), {}
    tick_lot = Fraction(BTCUSDT.tick_e8 * BTCUSDT.lot_e8, 10**16)
    for bought, sold, size in zip(matched.buy.tolist(), matched.sell.tolist(), matched.lots.tolist(), strict=True):
        fee = sum(Fraction(rows[one][5], 10**8 * rows[one][4]) for one in (bought, sold))
        gain = size * ((rows[sold][3] - rows[bought][3]) * tick_lot - fee)
        opened = size * rows[min(bought, sold)][0]
        before = trips.get(max(bought, sold), (0, 0, 0))
        trips[max(bought, sold)] = tuple(a + b for a, b in zip(before, (gain, opened, size), strict=True))
    gains = [gain for gain, _, _ in trips.values()]
    held_us = [rows[end][0] - Fraction(opened, size) for end, (_, opened, size) in trips.items()]
    assert round_trip_stats(fills, matched, BTCUSDT) == {
        "n": len(trips),
        "win_rate": pytest.approx(sum(gain > 0 for gain in gains) / len(gains)),
        "mean": pytest.approx(float(sum(gains) / len(gains)), rel=1e-9),
        "median": pytest.approx(float(np.median(gains)), rel=1e-9),
        "best": pytest.approx(float(max(gains)), rel=1e-9),
        "worst": pytest.approx(float(min(gains)), rel=1e-9),
        "holding_s": pytest.approx(float(np.median(held_us)) / S, rel=1e-9),
    }


ALWAYS = account_series(Scribe().journal().state, BTCUSDT, CASH_E8).spans  # without an end of the market
ROWS = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(-9, 9), st.integers(-9, 9)), min_size=1)


@given(st.lists(st.tuples(ROWS, st.sampled_from([1, 2, 3, 10**17])), min_size=1, max_size=3))
def test_sum_of_accounts_is_that_of_their_rows(drawn):
    """Exact, in any units, also with several rows at an instant: begin, end, and what is known at each instant."""
    sorted_rows = [(sorted(rows, key=lambda row: row[0]), per_quote) for rows, per_quote in drawn]
    series = [
        EquitySeries(*(np.array(column) for column in zip(*rows, strict=True)), per_quote, ALWAYS)
        for rows, per_quote in sorted_rows
    ]
    found = together(series)
    for name, place in (("equity", 2), ("quoting", 3)):
        values = [Fraction(int(value), found.per_quote) for value in getattr(found, name)]
        assert values[0] == sum(Fraction(rows[0][place], per_quote) for rows, per_quote in sorted_rows)
        assert values[-1] == sum(Fraction(rows[-1][place], per_quote) for rows, per_quote in sorted_rows)
        for at_us, value in list(zip(found.us.tolist(), values, strict=True))[1:]:
            known = [
                ([row for row in rows if row[0] <= at_us] or rows[:1], per_quote) for rows, per_quote in sorted_rows
            ]
            assert value == sum(Fraction(rows[-1][place], per_quote) for rows, per_quote in known)
    assert found.us.tolist()[1:] == sorted({row[0] for rows, _ in drawn for row in rows})
    for at_us, valid in list(zip(found.us.tolist(), found.valid.tolist(), strict=True))[1:]:
        last = [([row for row in rows if row[0] <= at_us] or rows[:1])[-1] for rows, _ in sorted_rows]
        assert valid == all(row[1] for row in last)  # of every account, as the sum is worth nothing without one
