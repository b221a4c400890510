"""Tick and lot size change while the exchange in a box is recorded: finer, coarser, late, or unanswered."""

import asyncio
import json
import random
from decimal import Decimal
from functools import partial

import pytest

import boxed
import mm
from boxed import SYMBOL, Boxed, quicken, recorded
from day_files import defects_of
from day_oracle import hold
from mm import DayFolder, Rules
from mm.dayfolder.coverage import cover
from mm.dayfolder.repair import repair_day
from mm.formats.day_parquet import export_day, import_day
from mm.market_data import recording as recording_module
from mm.market_data import snapshot as rest_tasks
from mm.sim.exchange.parameters import RequestParameters, read_new_order
from mm.sim.wire.box import Box
from simulation import inject

COARSE, FINE = ("0.1", "0.01"), ("0.01", "0.001")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)
    monkeypatch.setattr(rest_tasks, "INFO_FIRST_S", 0.05)
    monkeypatch.setattr(rest_tasks, "INFO_EVERY_S", 0.2)
    monkeypatch.setattr(recording_module, "LOOK_EVERY_S", 0.05)


class Traders:
    """Two users who trade on the current grid of the exchange; older orders stay at their prices."""

    def __init__(self, box, grid):
        self.box = box
        self.draw = random.Random(7)
        self.use(grid)

    def use(self, grid):
        inject(self.box, f"at time 0 do filters tick={grid[0]} step={grid[1]}")
        self.grid = [Decimal(text) for text in grid]

    def order(self, user, side, ticks_away, lots):
        tick, lot = self.grid
        given = {"symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        given |= {"price": f"{100 + ticks_away * tick}", "quantity": f"{1 + lots * lot}"}
        exchange = self.box.exchange
        new = read_new_order(RequestParameters(given, SYMBOL), exchange.rules)
        exchange.place(self.box.scheduler.done_us, user, new)

    async def trade(self, recorder, steps):
        """Place a buy and a sell per step, many of which match."""
        for _ in range(steps):
            self.order(1, "BUY", self.draw.randint(-9, 2), self.draw.randint(1, 9))
            self.order(2, "SELL", self.draw.randint(-2, 9), self.draw.randint(1, 9))
            await recorder.play(0.1)


async def run_of(traders, root, *work):
    """Record the box while the *work* coroutines run, then stop in order."""
    recorder = Boxed(traders.box, root)
    task = asyncio.create_task(recorder.recording.run())
    await recorder.until(lambda: recorder.logged("ws_connected"))
    await traders.trade(recorder, 2)
    await recorder.synced()
    await recorder.until(lambda: recorder.logged("exchange_info"))
    for act in work:
        await act(recorder)
    await recorder.caught_up()
    recorder.recording.stop("enough")
    await task


async def market(root, first, then, *, restart, fault):
    """Record a market that changes from the grid *first* to *then*; return the box."""
    async with asyncio.timeout(60), Box.in_lockstep("empty", seed=7).open() as box:
        traders = Traders(box, first)
        for away in range(1, 9):
            traders.order(1, "BUY", -away, away)
            traders.order(2, "SELL", away, away)
        await box.advance(seconds=1)

        async def change(recorder):
            traders.use(then)  # after a restart the grid has changed already
            inject(box, fault)
            if then == FINE:  # rows show a finer grid before exchangeInfo is requested
                await traders.trade(recorder, 8)
            await recorder.until(lambda: Decimal(recorder.session.grid["tick_size"]) == Decimal(then[0]))
            await traders.trade(recorder, 15)

        before = partial(traders.trade, steps=15)
        if restart:
            await run_of(traders, root, before)
            traders.use(then)
            await run_of(traders, root, change)
        else:
            await run_of(traders, root, before, change)
        return box


def day_of(root, first, then, *, restart=False, fault=""):
    """Record such a market; return its folder after a check, and the day after a comparison with the truth."""
    box = asyncio.run(market(root, first, then, restart=restart, fault=fault))
    (path,) = (root / SYMBOL).iterdir()
    folder = DayFolder.at(path)
    assert defects_of(folder) == []
    return folder, hold(path, box.truth)


def history_of(folder):
    return json.loads(folder.instrument.read_text())["history"]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("first", "then"), [(COARSE, FINE), (FINE, COARSE)])
def test_grid_change_costs_no_row_and_no_resync(tmp_path, first, then, restart):
    """Every frame is the true book; the history has both grids, the finer one from its first row on."""
    folder, day = day_of(tmp_path, first, then, restart=restart)
    assert day.logged("resync_start") == []
    assert day.tags == ["initial"] * (1 + restart)
    history = history_of(folder)
    grids = [(Decimal(entry["tick_size"]), Decimal(entry["step_size"])) for entry in history]
    assert grids == [tuple(map(Decimal, grid)) for grid in (first, then)]
    reports = [int(row["recv_seq"]) for row in day.events if '"grid"' in row["details_json"]]
    assert bool(reports) == (then == FINE) or restart
    assert history[1]["from_seq"] == reports[0] if reports else history[1]["from_us"] > 0
    assert any(Decimal(price) % Decimal("0.1") for diff in day.diffs for price, _ in diff["b"])


@pytest.mark.parametrize("fault", ["at request 1 of /api/v3/exchangeInfo do status code=503 n=2", ""])
def test_all_readers_of_a_day_accept_a_changed_grid(tmp_path, monkeypatch, fault):
    """Coverage, repair, export, tape, calibration and backtest; failed exchangeInfo requests only log a warning."""
    log = Log()
    monkeypatch.setattr(boxed, "_LOG", log)
    folder, _ = day_of(tmp_path / "data", COARSE, FINE, fault=fault)
    assert log.warnings.count("exchange_info_failed") == bool(fault)
    assert cover(folder).excluded_s < 2
    assert not repair_day(folder, "FIX", 0).changed
    out = tmp_path / "out" / SYMBOL / folder.day
    export_day(folder, out)
    again, _ = import_day(out, tmp_path / "again")
    assert history_of(again) == history_of(folder)

    tape = mm.load_day(folder)
    assert (tape.instrument.tick_e8, tape.step_ticks, tape.step_lots) == (1_000_000, 10, 10)
    assert "the grid changed in the day" in tape.meta.warnings[0]
    rules = Rules(
        tick_e8=tape.instrument.tick_e8,
        lot_e8=tape.instrument.lot_e8,
        step_ticks=tape.step_ticks,
        step_lots=tape.step_lots,
        quote_lots=tape.step_lots,
        start_lots=100 * tape.step_lots,
    )
    result = mm.backtest(tape, Near(), Cross(), rules)
    placed = result.orders.filter(result.orders["action"] == "PLACE")
    assert len(placed) > 4
    assert {Decimal(str(price)) % Decimal("0.1") for price in placed["price"]} == {0}
    assert mm.calibrate(tape).n_fills > 0


class Log:
    """A log that keeps the names of warnings."""

    def __init__(self):
        self.warnings = []

    def info(self, event, **numbers):
        pass

    def warning(self, event, **numbers):
        self.warnings.append(event)


class Near:
    """Quotes between the ticks."""

    def quote(self, view):
        return mm.Quotes(view.bid_ticks - 3.5, view.ask_ticks + 3.5)


class Cross:
    """Fills at a trade through our price."""

    def on_trade(self, order, trade):
        return order.lots if (trade.ticks - order.ticks) * order.side <= 0 else 0


def test_exchange_info_with_the_old_grid_is_requested_again(tmp_path):
    """The market is on a finer grid than exchangeInfo from the start; its rows are kept."""

    async def scenario(recorder):
        await recorder.synced()
        await recorder.until(
            lambda: recorder.logged("exchange_info") > 2 and recorder.session.grid["tick_size"] == "0.01"
        )
        await recorder.play(0.5)
        await recorder.caught_up()

    script = "at time 0 do filters tick=0.05\nat request 5 of /api/v3/exchangeInfo do filters tick=0.01"
    day = recorded(scenario, script, root=tmp_path)
    assert set(day.anomalies()) == {"grid"}
    assert (day.tags, day.logged("resync_start")) == (["initial"], [])
    (path,) = (tmp_path / SYMBOL).iterdir()
    tape = mm.load_day(path)
    assert (tape.instrument.tick_e8, tape.step_ticks) == (1_000_000, 5)


def test_rows_off_the_official_grid_are_kept(tmp_path):
    """The ledger reports their steps; the tape leaves them out, with a warning."""

    async def scenario(recorder):
        await recorder.synced()
        await recorder.until(lambda: recorder.logged("exchange_info") > 3)
        await recorder.caught_up()

    day = recorded(scenario, "at time 0 do filters tick=0.02", root=tmp_path)
    assert set(day.anomalies()) == {"grid"}
    assert day.logged("resync_start") == []
    (path,) = (tmp_path / SYMBOL).iterdir()
    tape = mm.load_day(path)
    assert (tape.instrument.tick_e8, tape.step_ticks) == (2_000_000, 1)
    assert "levels and trades off the tick" in tape.meta.warnings[0]
