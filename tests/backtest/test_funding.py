"""Days of a perpetual: short positions, funding by hand and from the ledger, and the same on best prices."""

import csv
from dataclasses import replace
from fractions import Fraction

import pytest
from click.testing import CliRunner

import mm
from captured import ASKS, NOON_US, diff, folder, imported, snapshot
from mm.__main__ import main
from mm.backtest.models import trade_cross
from mm.backtest.replay import backtest
from mm.backtest.rules import Account, Execution, Rules
from mm.commands import assemble
from mm.dayfolder.layout import SPOT, USDM
from mm.errors import BrokenFile
from mm.instrument import E8, Instrument
from mm.market_data.import_capture import import_captures
from mm.tape.columns import Payment
from mm.tape.load import load_day
from mm.tape.tape import Tape
from support import SHARED

SECOND = 1_000_000
GRID = Instrument("SIMUSDT", E8 // 10, E8 // 10)  # ticks and lots of 0.1
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")


class Never:
    name = "never"

    def quote(self, _view):
        return None


class Seller:
    """Offers a lot at the best ask until it has sold one."""

    name = "seller"

    def quote(self, view):
        return mm.Quotes(None, view.ask_ticks, None, 1) if view.inventory_lots == 0 else None


class Crosser:
    """Buys a lot at the best ask."""

    name = "crosser"

    def quote(self, view):
        return mm.Quotes(view.ask_ticks, None, 1, bid_kind="IOC") if view.inventory_lots == 0 else None


def tape(payments=(), venue=USDM, begin_s=0):
    """20 s of a book of 99.9 and 100.1, and a buyer who takes the ask every five seconds."""
    prints = [(at, ("trade", 1, 1002, 9)) for at in range(5, 20, 5)]
    moves = [(at + 0.1, ("depth", [(999, 50 + at)], [])) for at in range(20)]
    events = [(0, ("snapshot", [(999, 50)], [(1001, 50)])), *prints, *moves]
    made = Tape.of(GRID, [(round((begin_s + at) * SECOND), *what) for at, what in sorted(events)])
    return replace(made, meta=replace(made.meta, venue=venue, funding=tuple(payments)))


def paid(at_s, rate="0.0001", mark="100.05"):
    return Payment(round(at_s * SECOND), round(Fraction(rate) * E8), round(Fraction(mark) * E8))


def played(tapes, quotes=None, **given):
    terms = {"enforce_balances": False, "maker_fee_e8": 0, "order_latency_us": 0, "cancel_latency_us": 0}
    return backtest(tapes, quotes or Never(), trade_cross(), Rules(GRID.tick_e8, GRID.lot_e8, **{**terms, **given}))


@pytest.mark.parametrize(("lots", "funding"), [(10, 0.010005), (-10, -0.010005), (0, 0.0)])
def test_a_position_pays_funding_and_a_short_one_receives_it(lots, funding):
    """1.0 · 100.05 · 0.0001 of the quote asset; the mid is constant, so that is all."""
    summary = played(tape([paid(10)]), start_lots=lots).summary
    found = [summary[name] for name in ("funding", "pnl_total", "pnl_inventory", "fees")]
    assert found == [funding, -funding, -funding, 0.0]


def test_a_lot_that_was_sold_short_is_paid_from_the_next_payment_on():
    """Sold at 5 s at 100.1 without a balance: 0.1 of spread, and 0.1 · 100.05 · 0.0001 twice."""
    result = played(tape([paid(4), paid(10), paid(12)]), Seller())
    (fill,) = result.journal.fills.tolist()
    assert (fill[0], fill[2], fill[8]) == (5 * SECOND, -1, -1)
    assert result.summary["funding"] == -0.002001
    assert result.summary["pnl_total"] == 0.012001
    rows = [row for row in result.journal.state.tolist() if row[0] in (10 * SECOND, 12 * SECOND)]
    assert -200_100 in [row[3] for row in rows]  # 1e-8 of the quote asset, in the account at that very instant


def test_each_payment_is_made_once_over_several_days():
    """Also between two of them, when the position is held on; not before the first nor after the last."""
    payments = [paid(-1), paid(10), paid(25), paid(40), paid(70)]
    days = [tape(payments), tape(payments, begin_s=30)]
    assert played(days, start_lots=10).summary["funding"] == 3 * 0.010005


def test_a_day_of_spot_says_nothing_of_funding():
    assert "funding" not in played(tape(venue=SPOT)).summary


@pytest.mark.parametrize(("venue", "binds"), [(SPOT, True), (USDM, False)])
def test_balances_bind_on_spot_alone(venue, binds):
    assert assemble.rules(tape(venue=venue), Execution(), Account()).enforce_balances is binds


@pytest.mark.parametrize(
    ("venue", "given", "said"),
    [
        (USDM, {"maker_fee_e8": 100_000}, "0.001 (MAKER_FEE_RATE)"),
        (USDM, {"maker_fee_e8": 20_000}, None),  # the taker's is the default, and nothing took
        (USDM, {"maker_fee_e8": 0, "maker_unit_fee_e8": 1_000}, None),
        (SPOT, {"maker_fee_e8": 100_000}, None),
    ],
)
def test_fills_of_a_perpetual_that_paid_the_fee_of_spot_are_told(venue, given, said):
    """The defaults of the fees are those of Spot, and no day of futures has them."""
    notes = [one for one in played(tape(venue=venue), Seller(), **given).summary["warnings"] if "spot_fees" in one]
    assert len(notes) == (said is not None)
    assert said is None or f"spot_fees: fills paid {said}, the default, which is Spot's" in notes[0]


def test_a_taker_of_a_perpetual_is_told_as_well():
    """Both knobs are named where both roles filled at their defaults; without a fill nothing is."""
    (note,) = [one for one in played(tape(), Crosser(), maker_fee_e8=0).summary["warnings"] if "spot_fees" in one]
    assert "0.001 (TAKER_FEE_RATE)" in note
    assert not any("spot_fees" in one for one in played(tape(), maker_fee_e8=100_000).summary["warnings"])


def funded(tmp_path):
    """Return a day whose ledger has a payment."""
    stream = "simusdt@markPrice@1s"
    mark = {"e": "markPriceUpdate", "s": "SIMUSDT", "p": "100.05", "r": "-0.0001"}
    times = [(at, NOON_US // 1000 + due) for at, due in ((0, 2_000), (2_100, 10**6))]
    marks = [{"stream": stream, "data": mark | {"E": NOON_US // 1000 + at, "T": due}} for at, due in times]
    updates = [diff(101, 110, asks=ASKS), diff(111, 120, asks=ASKS)]
    for update, before in zip(updates, (99, 110), strict=True):
        update["data"]["pu"] = before
    book = snapshot(105) | {"E": 1, "T": 1}
    imported(tmp_path, [book, updates[0], *marks, updates[1]])
    return folder(tmp_path)


@pytest.mark.parametrize(("rate", "warned"), [("0.001", True), ("0.0002", False)])
def test_a_perpetual_at_the_fee_of_spot_is_warned_of_before_it_is_played(tmp_path, rate, warned):
    day = funded(tmp_path)
    words = ["--symbol", "SIMUSDT", "--day", day.day, "--data-root", str(day.root), "--out-root", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["backtest", *words, "--maker-fee-rate", rate, "--json"])
    assert (f"warning spot_fees day={day.day} rate=0.001 way_out=" in done.stderr) == warned, done.output


def test_a_tape_has_its_market_and_what_was_paid(tmp_path):
    """At the instant of the payment; a kept tape as well."""
    day = funded(tmp_path)
    for found in [load_day(day.path), *(load_day(day.path, cache=tmp_path / "kept") for _ in range(2))]:
        assert found.meta.venue == USDM
        assert found.meta.funding == (Payment(NOON_US + 2 * SECOND, -10_000, 10_005_000_000),)


def test_a_payment_that_cannot_be_read_is_refused(tmp_path):
    """With its file and its event."""
    day = funded(tmp_path)
    text = day.events.read_text()
    assert "-0.0001" in text
    day.events.write_text(text.replace("-0.0001", "low"))
    day.manifest.unlink()
    with pytest.raises(BrokenFile, match=r"events_SIMUSDT_20260105\.csv: event \d+ is not a funding payment"):
        load_day(day.path)


@shared
def test_a_recorded_perpetual_is_played_short(tmp_path):
    """Best prices alone give the same; the payment of midnight UTC is that of the position held then."""
    captures = sorted((SHARED / "data" / "binance-usdm-btcusdt-20230404-05").glob("*.gz"))
    import_captures(captures, "BTCUSDT", tmp_path / "data", run_id="R1")
    place = tmp_path / "data" / "BTCUSDT" / "20230405"
    kept = [load_day(place, cache=tmp_path / "kept") for _ in range(2)][1]
    assert kept.best is not None
    terms = {"initial_inventory": "-0.05", "maker_fee_rate": "0.0002", "quote_qty": "0.01", "sensitivity": False}
    strategy = {"quotes": "fixed_spread", "fills": "trade_cross", "quote_params_json": {"delta_ticks": 1}}
    found = [mm.backtest(one, **strategy, **terms) for one in (kept, load_day(place))]
    assert found[0].summary == found[1].summary
    fills = [row for row in found[0].journal.fills.tolist() if row[0] <= 1_680_652_800_000_000]
    held = Fraction(fills[-1][8] * kept.instrument.lot_e8, E8)
    assert found[0].journal.fills[:, 8].min() < 0
    due = held * Fraction("28155.1") * Fraction("0.0000276")
    assert found[0].summary["funding"] == pytest.approx(float(due), abs=1e-8)
    found[0].write_tables(tmp_path / "run")
    with (tmp_path / "run" / "state_BTCUSDT.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    summary = found[0].summary
    assert float(last["equity"]) == pytest.approx(summary["initial_equity"] + summary["pnl_total"], abs=1e-7)
