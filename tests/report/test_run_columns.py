"""The columns of a run: the same from a result and from the files of its folder; and its account over time."""

import json

import numpy as np
import pytest
from hypothesis import given, settings

import engine_chance
import mm
from drawn_runs import page_of, result_of
from journals import START_US, Scribe, scribes, seeded
from mm import DayFolder, Tape
from mm.instrument import Instrument
from mm.report import run_columns
from mm.report.run_columns import RunColumns, columns_of, equity_curve, market_of, pauses, read_columns
from mm.tape import columns
from named import kind_of
from pages import read, without_scripts
from simulation import simulate_day
from support import write_run


def test_worst_drawdowns_have_their_depth_and_dates():
    """The deepest first; one that is not made up for has no end, and what rounding left is none."""
    equity = np.array([0.0, 2, 1, 3, -1, 0, 3, 3 - 4.7e-14, 4, 3.5])
    us = np.arange(10, dtype=np.int64)
    curve = run_columns.EquityCurve(us, np.zeros(10), equity, np.zeros(10), np.zeros(10))
    assert curve.worst(5) == [(4.0, 3, 4, 6), (1.0, 1, 2, 3), (0.5, 8, 9, None)]
    assert curve.worst(1) == curve.worst(5)[:1]


def test_page_redrawn_from_a_run_folder_equals_the_original(tmp_path):
    """The mid comes from the state rows, since the files have no other; all else is that of the run."""
    result = result_of(seeded(300))
    write_run(result, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    run, from_files = columns_of(result), read_columns(tmp_path, "BTCUSDT")
    for side in (1, -1):
        for name in ("us", "until_us", "price"):
            assert getattr(from_files.quotes[side], name).tolist() == getattr(run.quotes[side], name).tolist()
    first = "In USDT, from zero to the PnL of the quoting."
    pages = page_of(summary, from_files), (tmp_path / "report.html").read_text(encoding="utf-8")
    # The files lack the price at which an outage ended, and so the minutes.
    redrawn, original = ([w for w in read(without_scripts(page)).words if "minutes" not in w] for page in pages)
    assert (
        redrawn[redrawn.index(first) : redrawn.index("Data")]
        == (original[original.index(first) : original.index("Data")])
    )


def test_curve_of_a_hedged_run_is_the_sum_of_its_legs(tmp_path):
    """Page, tear sheet and dashboard draw it: PnL and drawdown of the summary, and each leg's part and inventory."""
    tapes = []
    for seed, symbol in enumerate(("OWNUSDT", "LEADUSDT")):
        simulate_day(tmp_path, "zero_intelligence", hours=0.1, seed=seed, symbol=symbol)
        tapes.append(mm.load_day(DayFolder(tmp_path, symbol, "20260105")))
    others = {"lead": {"tape": tapes[1], "orders": {"initial_inventory": 2}}}
    result = mm.backtest(tapes[0], Hedged(), others=others, initial_inventory=5, sensitivity=False)
    write_run(result, tmp_path / "run")
    summary, lead = result.summary, result.summary["legs"]["lead"]
    assert lead["n_fills"] > 0
    assert lead["pnl_quoting"] != 0
    for run in (columns_of(result), read_columns(tmp_path / "run", "OWNUSDT")):
        curve = run.curve
        (name, (earned, held)), *none = curve.legs.items()
        assert (name, none, held[0], held[-1]) == ("lead (LEADUSDT)", [], 2, lead["inventory_end"])
        expected = summary["pnl_quoting"], summary["own_market"]["pnl_quoting"], lead["pnl_quoting"]
        assert [curve.equity[-1], curve.own[-1], earned[-1]] == pytest.approx(expected, abs=1e-9)
        assert -curve.drawdown.min() == pytest.approx(summary["max_drawdown"], abs=1e-9)
        assert curve.carried[-1] == pytest.approx(summary["own_market"]["pnl_inventory"], abs=1e-9)
        part = curve.between(int(curve.us[100]), int(curve.us[-1]))
        assert part.own + part.legs[name][0] == pytest.approx(part.equity)


class Hedged:
    """Join the own best prices, and sell in the lead what was bought here."""

    def on_event(self, market, orders):
        lead, there = market.other("lead"), orders.at("lead")
        for name, side, ticks in (("bid", 1, market.bid_ticks), ("ask", -1, market.ask_ticks)):
            if name in orders and orders[name].ticks != ticks:
                orders.cancel(name)
            elif name not in orders:
                orders.submit(side, ticks, client_id=name)
        over = orders.inventory_lots - orders.target_lots + there.inventory_lots - there.target_lots
        if abs(over) >= market.quote_lots and not len(there) and lead.bid_ticks and lead.ask_ticks:
            side = -1 if over > 0 else 1
            there.submit(side, lead.ask_ticks if side > 0 else lead.bid_ticks, abs(over), "IOC")


def test_night_is_a_hole_of_a_redrawn_page_too(tmp_path):
    """The state rows of the night have the mark of the evening."""
    for day in ("20260105", "20260106"):
        simulate_day(tmp_path, "zero_intelligence", hours=0.05, seed=3, symbol="ZIUSDT", day=day)
    tapes = [mm.load_day(DayFolder(tmp_path, "ZIUSDT", day)) for day in ("20260105", "20260106")]
    result = mm.backtest(tapes, "avellaneda_stoikov", initial_inventory=5, sensitivity=False)
    write_run(result, tmp_path / "run")
    original, redrawn = (equity_curve(run) for run in (columns_of(result), read_columns(tmp_path / "run", "ZIUSDT")))
    nights = [np.interp(tapes[0].end_us + 3_600_000_000, one.us, one.equity) for one in (original, redrawn)]
    assert np.isnan(nights).all()


@pytest.mark.parametrize("kind", ["empty", "never valid", "no fills"])
def test_folder_with_empty_tables_is_drawn(tmp_path, kind):
    """Tables without rows have no types to infer."""
    scribe = Scribe() if kind != "no fills" else seeded(60, fill_chance=0.0)
    if kind == "never valid":
        scribe.state()
        scribe.wait(60_000_000)
        scribe.state()
    result = result_of(scribe)
    write_run(result, tmp_path)
    read(page_of(result, read_columns(tmp_path, "BTCUSDT")))


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_pnl_parts_add_up_at_every_row_and_match_the_summary(scribe):
    """Spread captured plus inventory minus fees is the change of equity, whose last row is the total PnL."""
    result = result_of(scribe)
    run = columns_of(result)
    drawn = equity_curve(run)
    parts = drawn.spread + drawn.carried - drawn.fees
    known = ~np.isnan(drawn.equity)
    size = max(1.0, float(np.abs(drawn.spread).max()), float(np.nanmax(np.abs(drawn.equity), initial=0.0)))
    assert np.allclose(parts[known], drawn.equity[known], rtol=0, atol=1e-9 * size)
    if known.any() and known[0]:
        assert drawn.spread[-1] == pytest.approx(result.summary["pnl_spread_capture"], rel=1e-9, abs=1e-9 * size)
        assert drawn.fees[-1] == pytest.approx(result.summary["fees"], rel=1e-9, abs=1e-9 * size)
        if known[-1]:
            assert drawn.equity[-1] == pytest.approx(result.summary["pnl_total"], rel=1e-9, abs=1e-9 * size)


def test_quotes_last_from_arrival_to_end():
    """An order in flight is not a quote, nor is a cancelled order."""
    scribe = Scribe()
    scribe.move(20_000)
    scribe.state()
    first = scribe.place(1, 9_950, 100)
    scribe.place(-1, 10_050, 100)
    scribe.wait(1_000_000)
    scribe.fill(first, 1, 9_950, 100)
    scribe.order("CLOSE_FILLED", "FILLED", first, (1, 9_950, 100))
    scribe.wait(1_000_000)
    scribe.state()
    quotes = columns_of(result_of(scribe)).quotes
    assert [(quotes[side].us - START_US).tolist() for side in (1, -1)] == [[50_000], [50_000]]
    assert [(quotes[side].until_us - START_US).tolist() for side in (1, -1)] == [[1_000_000], [2_000_000]]
    assert [quotes[side].price.tolist() for side in (1, -1)] == [[99.5], [100.5]]


def run_of(us, values, excluded=()):
    state = {"recv_us": us, "inventory": np.ones(len(us)), "mid": values, "equity": values}
    fills = {name: np.empty(0) for name in ("recv_us", "price", "qty", "fee", "mid")} | {"side": np.empty(0, "<U4")}
    return RunColumns(fills, state, {}, us, values, np.array(excluded, np.int64).reshape(-1, 2))


def test_pause_in_the_rows_is_a_hole():
    """The night between two days is not a level line."""
    us = np.concatenate([np.arange(100), 40_000 + np.arange(100)]) * 1_000_000
    drawn = equity_curve(run_of(us, np.ones(200)))
    assert drawn.us[np.isnan(drawn.equity)].tolist() == [99_000_001]


def test_marks_within_excluded_time_are_not_shown():
    """They are stale."""
    us = np.arange(10) * 1_000_000
    drawn = equity_curve(run_of(us, np.arange(10.0), [(3_000_000, 6_000_000)]))
    assert drawn.us[np.isnan(drawn.equity)].tolist() == [3_000_000, 4_000_000, 5_000_000]


def test_thinned_run_has_the_same_pauses(monkeypatch):
    """Removed rows do not change which time between two rows is a usual one."""
    scribe = Scribe()
    scribe.move(20_000)
    for wait_s in [1] * 30 + [70] * 10:
        scribe.state()
        scribe.wait(wait_s * 1_000_000)
    monkeypatch.setattr(run_columns, "ALL_DRAWN", 0)
    drawn = equity_curve(columns_of(result_of(scribe)))
    assert np.isnan(drawn.equity).sum() == 9
    assert len(drawn.us) < 40


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_long_run_is_drawn_without_unchanged_rows(scribe):
    """The account is the same at every state row, and pauses are kept."""
    result = result_of(scribe)
    whole = equity_curve(columns_of(result))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_columns, "ALL_DRAWN", 0)
        thin = equity_curve(columns_of(result))
    last = np.append(np.diff(whole.us) > 0, True)  # of the rows of an instant
    at = np.searchsorted(thin.us, whole.us[last], side="right") - 1
    for name in ("inventory", "equity", "spread", "fees"):
        np.testing.assert_array_equal(getattr(thin, name)[at], getattr(whole, name)[last])


NONE_EXCLUDED = np.empty((0, 2), np.int64)


def test_short_excluded_stretch_is_a_hole_of_a_long_run():
    """Ten seconds without a change, of which two and a half had no valid book."""
    us = np.arange(10) * 1_000_000
    state = np.zeros((len(us), 6), np.int64)
    state[:, 0] = us
    rows, _ = run_columns.state_rows(state, np.array([[5_500_000, 8_000_000]]))
    assert {5, 6, 7, 8} <= set(rows.tolist())
    assert 2 not in rows


def test_drawn_rows_keep_one_in_five_seconds_and_both_ends_of_a_change():
    """A minute without a row stays a pause, and hours without a change do not become pauses."""
    us = np.append(np.arange(0, 3_600), np.arange(4_000, 4_100)) * 1_000_000
    state = np.zeros((len(us), 6), np.int64)
    state[:, 0], state[:, 3] = us, np.where(us < 1_003_000_000, 1, 2)
    rows, usual = run_columns.state_rows(state, NONE_EXCLUDED)
    assert usual == 1_000_000
    assert {1_002, 1_003} <= set(rows.tolist())
    assert len(rows) == pytest.approx(len(us) / 5, abs=5)
    assert us[rows][pauses(us[rows])].tolist() == us[pauses(us)].tolist() == [4_000_000_000]


@pytest.mark.parametrize("seed", range(20))
def test_drawn_rows_equal_those_of_plain_comparisons(seed, monkeypatch):
    """Read whole or in pieces; the count of open orders is not drawn, and a time above 35 minutes counts as that."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    state = random.integers(0, 2, (count, 6)) * (random.random((count, 1)) < 0.3)
    state[:, 0] = 7 + np.cumsum(
        random.choice([0, 1_000_000, 1_700_000, 5_000_001, 2**40], count, p=[0.1, 0.4, 0.3, 0.1, 0.1])
    )
    us, *drawn, _ = state.T.tolist()
    keep = {0, count - 1}
    for i in range(1, count):
        if us[i] - us[i - 1] > 5_000_000 or any(column[i] != column[i - 1] for column in drawn):
            keep |= {i - 1, i}
        if us[i] // 5_000_000 != us[i - 1] // 5_000_000:
            keep.add(i)
    monkeypatch.setattr(columns, "PIECE", int(random.choice([6, 30, 1 << 20])))
    rows, usual = run_columns.state_rows(state, NONE_EXCLUDED)
    assert rows.tolist() == sorted(keep)
    assert usual == (np.median(np.minimum(np.diff(us), 2**31 - 1)) if count > 1 else 0)


@pytest.mark.parametrize("seed", range(20))
def test_prints_are_the_trades_of_a_tape_split_by_side(seed):
    """Windows are tested too."""
    for whole in engine_chance.case_of(seed).tapes:
        for tape in (whole, whole.between((2 * whole.start_us + whole.end_us) // 3, whole.end_us)):
            market, grid = market_of([tape]), tape.instrument
            events = [
                at
                for at in range(len(tape))
                if kind_of(tape.kind[at]) == "trade" and tape.event_us[at] >= tape.start_us
            ]
            rows = [tape.rows(at)[0] for at in events]
            for sign, found in market.prints.items():
                expected = [
                    (us, *row[1:])
                    for us, row in zip(tape.event_us[events].tolist(), rows, strict=True)
                    if row[0] == sign
                ]
                assert found.us.tolist() == [us for us, _, _ in expected]
                assert found.price.tolist() == [ticks * grid.tick_e8 / 1e8 for _, ticks, _ in expected]
                assert found.qty.tolist() == [lots * grid.lot_e8 / 1e8 for _, _, lots in expected]


@pytest.mark.parametrize("far", [2**31 - 1, 2**31, 2**40])
def test_prints_use_the_width_of_the_largest_number(far):
    """A number that needs more than four bytes follows others that do not, in prices and in quantities."""
    rows = [(1, 12, 3), (-1, 10, far), (1, 12, far), (1, far, 4), (1, 13, 5)]
    quotes = (0, "snapshot", [(10, 1)], [(far + 1, 1)])
    tape = Tape.of(Instrument("SIM", 1, 1), [quotes, *((at, "trade", *row) for at, row in enumerate(rows, 1))])
    for sign, found in market_of([tape]).prints.items():
        expected = [(at, *row[1:]) for at, row in enumerate(rows, 1) if row[0] == sign]
        assert list(zip(found.us.tolist(), found.ticks.tolist(), found.lots.tolist(), strict=True)) == expected


def test_prints_of_days_on_several_grids_share_a_common_step():
    """Two days; the second has another tick and another lot."""
    events = [(1, "snapshot", [(10, 1)], [(12, 1)]), (2, "trade", 1, 12, 3), (3, "trade", -1, 10, 2)]
    first = Tape.of(Instrument("SIM", 6, 100), events)
    other = Tape.of(Instrument("SIM", 4, 30), [(us + 10, *rest) for us, *rest in events])
    found = market_of([first, other]).prints[1]
    assert found.us.tolist() == [2, 12]
    assert found.price.tolist() == [12 * 6 / 1e8, 12 * 4 / 1e8]
    assert found.qty.tolist() == [3 * 100 / 1e8, 3 * 30 / 1e8]
