"""Lots of a strategy are order steps: the same on every day, whatever finer quantities a day shows, or shows later."""

import gzip
import json
import shutil
from decimal import Decimal

import pytest

import mm
from mm import DayFolder
from mm.backtest.models import queue_prob_log, queue_prob_power, queue_risk_averse, trade_cross
from mm.dayfolder.manifest import unseal
from mm.errors import ModelError
from simulation import simulate_day

SYMBOL, DAY = "SIMUSDT", "20260105"
FILLS = {
    "log": queue_prob_log,
    "power": lambda: queue_prob_power(exponent=2.5),
    "averse": queue_risk_averse,
    "half": lambda: trade_cross(share=0.5),
}
KNOBS = {"initial_inventory": 1, "maker_fee_rate": 0, "sensitivity": False}


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Return a day, and the same one with a bid of 7.12345678 far below the market in its last message."""
    root = tmp_path_factory.mktemp("lots")
    plain = simulate_day(root / "plain", hours=0.1, seed=5, symbol=SYMBOL, day=DAY)
    finer = DayFolder(root / "finer", SYMBOL, DAY)
    shutil.copytree(plain.path, finer.path)
    unseal(finer)
    lines = gzip.decompress(finer.diffs.read_bytes()).decode().splitlines()
    last = json.loads(lines[-1])
    last["b"].append(["0.01000000", "7.12345678"])
    text = "\n".join([*lines[:-1], json.dumps(last)]) + "\n"
    finer.diffs.write_bytes(gzip.compress(text.encode()))
    return plain, finer


@pytest.fixture(scope="module")
def tapes(days):
    plain, finer = (mm.load_day(folder.path) for folder in days)
    assert finer.instrument.lot_e8 < plain.instrument.lot_e8  # else nothing is tested
    return plain, finer


class Ladder:
    """A strategy in lots: prices by queue and displayed size, quantities by share of what is displayed."""

    def __init__(self):
        self.seen = []

    def on_event(self, market, orders):
        self.seen.append((market.us, market.bid_lots, market.ask_lots, market.lots_at(1, market.bid_ticks - 1)))
        self.seen.append((market.inventory_lots, market.target_lots, market.most_lots, market.quote_lots, market.lot))
        self.seen += [(fill.lots, fill.left_lots) for fill in orders.fills]
        self.seen += [(order.lots, order.left_lots, order.filled_lots, order.ahead_lots) for order in orders]
        if market.last_trade:
            self.seen.append(market.last_trade.lots)
        for side, best in ((1, market.bid_ticks), (-1, market.ask_ticks)):
            name = f"{side}"
            if name not in orders:
                orders.submit(side, best, min(market.quote_lots, 1 + market.bid_lots // 10), client_id=name)
            elif (orders[name].ahead_lots or 0) > 500 or orders[name].ticks != best:
                orders.cancel(name)


class Shares:
    """A fill model in lots."""

    def __init__(self):
        self.seen = []

    def on_rest(self, order, book):
        self.seen.append((order.lots, book.bid_lots, book.lots_at(-1, book.ask_ticks + 1)))

    def on_level(self, order, before_lots, after_lots):
        self.seen.append((before_lots, after_lots, order.printed_lots))

    def on_trade(self, order, trade):
        self.seen.append(trade.lots)
        return trade.lots / 3 if trade.side != order.side and trade.ticks == order.ticks else 0


class Depth:
    """A signal in lots."""

    levels = 3

    def on_trade(self, book, side, ticks, lots):
        self.printed = lots

    def on_book(self, book):
        return book.bid_lots + sum(lots for _, lots in book.asks()) + getattr(self, "printed", 0)


class Signalled:
    signals = (f"{__name__}:Depth",)

    def __init__(self):
        self.seen = []

    def quote(self, view):
        self.seen.append((view.signal(self.signals[0]), view.last_trade and view.last_trade.lots))
        return mm.Quotes(view.bid_ticks, view.ask_ticks, bid_lots=view.quote_lots / 2, ask_lots=view.quote_lots)


def rows(result):
    """Return the rows of orders and fills, and everything that the models saw."""
    return [frame.rows() for frame in (result.orders_frame(), result.fills_frame(), result.state_frame())]


@pytest.mark.parametrize("fills", FILLS)
def test_later_finer_quantity_moves_no_fill(tapes, fills):
    """The last message comes after every decision: the default strategy and a queue model cannot know it."""
    plain, finer = (mm.backtest(tape, fills=FILLS[fills](), **KNOBS) for tape in tapes)
    assert len(plain.fills) > 20
    assert rows(plain) == rows(finer)


@pytest.mark.parametrize("fills", FILLS)
def test_strategy_in_lots_sees_equal_numbers_on_both_days(tapes, fills):
    played = [(model := Ladder(), mm.backtest(tape, model, FILLS[fills](), **KNOBS)) for tape in tapes]
    (plain_model, plain), (finer_model, finer) = played
    assert rows(plain) == rows(finer)
    assert len(plain.fills) > 20
    last = plain_model.seen[-1]
    assert plain_model.seen == finer_model.seen, last
    assert all(one[-1] == 0.001 for one in plain_model.seen if isinstance(one, tuple) and len(one) == 5)


def test_fill_model_and_signal_in_lots_see_equal_numbers(tapes):
    seen = []
    for tape in tapes:
        strategy, fills = Signalled(), Shares()
        result = mm.backtest(tape, strategy, fills, **KNOBS)
        seen.append((rows(result), strategy.seen, fills.seen))
        assert len(result.fills) > 5
    assert seen[0] == seen[1]


def test_finer_quantity_is_an_exact_fraction(tapes):
    """At the last message the far bid is 7,123.45678 steps of 0.001."""

    class Looks:
        found = ()

        def quote(self, view):
            self.found = (*self.found, view.lots_at(1, 1))

    model = Looks()
    mm.backtest(tapes[1], model, **KNOBS, requote_interval_ms=10)
    assert set(model.found) <= {0, 7123.45678}


def test_unknown_step_is_taken_from_the_first_book(days, tmp_path):
    """Without instrument.json a strategy's lot is what the first book shows, not what comes later."""
    found = []
    for number, folder in enumerate(days):
        copy = DayFolder(tmp_path / str(number), SYMBOL, DAY)
        shutil.copytree(folder.path, copy.path)
        unseal(copy)
        copy.instrument.unlink()
        tape = mm.load_day(copy.path, tick_size_e8=1_000_000)
        found.append(
            (tape.step_lots * tape.instrument.lot_e8, rows(mm.backtest(tape, fills="queue_prob_log", **KNOBS)))
        )
    assert found[0] == found[1]


class Buys:
    """Buy at the ask once, as *asked* says."""

    def __init__(self, **asked):
        self.asked, self.order = asked, None

    def on_event(self, market, orders):
        if self.order is None:
            self.order = orders.submit(1, market.ask_ticks + 50, kind="IOC", **self.asked)


@pytest.mark.parametrize(
    ("asked", "qty"),
    [
        ({"qty": "0.004"}, 0.004),
        ({"qty": Decimal("0.0049")}, 0.004),
        ({"qty": 0.1 + 0.2}, 0.3),
        ({"qty": 0.001 * 3}, 0.003),
        ({"lots": 4}, 0.004),
        ({"lots": 0.3 / 0.1}, 0.003),
    ],
)
def test_order_in_the_base_asset_or_in_lots(tapes, asked, qty):
    for tape in tapes:
        result = mm.backtest(tape, Buys(**asked), order_latency_ms=0, **KNOBS)
        assert result.orders_frame()["qty"][0] == qty


@pytest.mark.parametrize(
    "asked",
    [
        {"qty": "0.1", "lots": 3},
        {"qty": "-1"},
        {"qty": "nan"},
        {"qty": "many"},
        {"qty": 0},
        {"lots": -2},
        {"qty": b"1"},
    ],
)
def test_wrong_quantity_is_refused_with_its_value(tapes, asked):
    with pytest.raises(ModelError, match=r"test_order_lots\.py:\d+: .*Buys\.on_event raised ValueError: (qty|lots)="):
        mm.backtest(tapes[0], Buys(**asked), **KNOBS)


def test_quantity_below_a_step_is_refused_as_an_order(tapes):
    model = Buys(qty="0.0004")
    mm.backtest(tapes[1], model, **KNOBS)
    assert (model.order.status, model.order.reason) == ("REFUSED", "quantity_below_step")
