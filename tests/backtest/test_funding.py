"""Days of a perpetual: short positions, funding by hand and from the ledger, and the same on best prices."""

import csv
import json
from dataclasses import replace
from fractions import Fraction

import pytest
from click.testing import CliRunner

import mm
from captured import ASKS, NOON_US, diff, folder, import_files, imported, snapshot
from mm import Rules, Tape, backtest, load_day
from mm.__main__ import main
from mm.backtest.models import trade_cross
from mm.backtest.rules import Account, Execution
from mm.backtest.summary_text import text_of
from mm.errors import BrokenFile
from mm.instrument import E8, Instrument
from mm.markets.binance import SPOT, USDM
from mm.play.engine_rules import rules_of
from mm.signals.other_feed import OtherFeed
from mm.tape.columns import Payment
from support import SHARED

SECOND = 1_000_000
GRID = Instrument("SIMUSDT", E8 // 10, E8 // 10)  # ticks and lots of 0.1
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")


class NoQuotes:
    name = "never"

    def quote(self, _view):
        return None


class SellOnce:
    """Offer one lot at the best ask until one is sold."""

    name = "seller"

    def quote(self, view):
        return mm.Quotes(None, view.ask_ticks, None, 1) if view.inventory_lots == 0 else None


class SellFrom(SellOnce):
    """Offer one lot until one of the initial *lots* is sold."""

    def __init__(self, lots):
        self.lots = lots

    def quote(self, view):
        return mm.Quotes(None, view.ask_ticks, None, 1) if view.inventory_lots == self.lots else None


class BuyOnce:
    """Buy one lot at the best ask with an IOC order."""

    name = "crosser"

    def quote(self, view):
        return mm.Quotes(view.ask_ticks, None, 1, bid_kind="IOC") if view.inventory_lots == 0 else None


def tape(payments=(), venue=USDM, begin_s=0):
    """Return 20 s of a book of 99.9 and 100.1, with a buyer who takes the ask every five seconds."""
    prints = [(at, ("trade", 1, 1002, 9)) for at in range(5, 20, 5)]
    moves = [(at + 0.1, ("depth", [(999, 50 + at)], [])) for at in range(20)]
    events = [(0, ("snapshot", [(999, 50)], [(1001, 50)])), *prints, *moves]
    built = Tape.of(GRID, [(round((begin_s + at) * SECOND), *event) for at, event in sorted(events)])
    return replace(built, meta=replace(built.meta, venue=venue.venue, funding=tuple(payments)))


def payment(at_s, rate="0.0001", mark="100.05"):
    return Payment(round(at_s * SECOND), round(Fraction(rate) * E8), round(Fraction(mark) * E8))


def run(tapes, quotes=None, **changes):
    terms = {"enforce_balances": False, "maker_fee_e8": 0, "order_latency_us": 0, "cancel_latency_us": 0}
    return backtest(
        tapes, quotes or NoQuotes(), trade_cross(), Rules(GRID.tick_e8, GRID.lot_e8, **{**terms, **changes})
    )


@pytest.mark.parametrize(("lots", "funding"), [(10, 0.010005), (-10, -0.010005), (0, 0.0)])
def test_long_position_pays_funding_and_short_receives_it(lots, funding):
    """1.0 · 100.05 · 0.0001 of the quote asset; the mid is constant, so PnL has no other part.

    The target inventory's funding is PnL of the hold; with a target of 0 it is PnL of the quoting.
    """
    names = ("funding", "pnl_total", "pnl_quoting", "pnl_hold", "pnl_inventory", "fees", "max_drawdown")
    summary = run(tape([payment(10)]), start_lots=lots).summary
    assert [summary[name] for name in names] == [funding, -funding, 0.0, -funding, 0.0, 0.0, 0.0]
    summary = run(tape([payment(10)]), start_lots=lots, target_lots=0).summary
    lost = max(funding, 0.0)
    assert [summary[name] for name in names] == [funding, -funding, -funding, 0.0, -funding, 0.0, lost]


def test_funding_of_the_quoting_is_the_same_with_any_holding():
    """Sold short by 0.1, or 0.1 less than a holding, quoting receives the same to the last digit."""
    payments = [payment(4), payment(10, mark="100.0512345"), payment(12, rate="0.00012345")]
    bare, held = (run(tape(payments), SellFrom(lots), start_lots=lots).summary for lots in (0, 7))
    for name in ("pnl_quoting", "pnl_inventory", "fees", "max_drawdown", "returns", "break_even_fee_rate"):
        assert bare[name] == held[name], name
    assert held["pnl_hold"] < 0 == bare["pnl_hold"]


def test_lot_sold_short_receives_later_payments_only():
    """Sold at 5 s at 100.1 without a balance: 0.1 of spread, and 0.1 · 100.05 · 0.0001 twice."""
    result = run(tape([payment(4), payment(10), payment(12)]), SellOnce())
    (fill,) = result.journal.fills.tolist()
    assert (fill[0], fill[2], fill[8]) == (5 * SECOND, -1, -1)
    assert result.summary["funding"] == -0.002001
    assert result.summary["pnl_total"] == 0.012001
    rows = [row for row in result.journal.state.tolist() if row[0] in (10 * SECOND, 12 * SECOND)]
    assert -200_100 in [row[3] for row in rows]  # 1e-8 of the quote asset, booked at the time of the payment


def test_late_payment_is_for_the_position_of_its_own_instant():
    """Known at 12 s: due at 4 s, before the lot was sold at 5 s, it is nothing; due at 10 s it is received at 12 s."""
    late = payment(12)
    assert run(tape([late._replace(due_us=4 * SECOND)]), SellOnce()).summary["funding"] == 0.0
    result = run(tape([late._replace(due_us=10 * SECOND)]), SellOnce())
    assert result.summary["funding"] == -0.0010005
    assert 12 * SECOND in [row[0] for row in result.journal.state.tolist()]


def test_each_payment_is_made_once_across_tapes():
    """Also between two tapes, while the position is held; not before the first nor after the last."""
    payments = [payment(-1), payment(10), payment(25), payment(40), payment(70)]
    days = [tape(payments), tape(payments, begin_s=30)]
    assert run(days, start_lots=10).summary["funding"] == 3 * 0.010005


def test_summary_of_spot_day_contains_no_funding():
    assert "funding" not in run(tape(venue=SPOT)).summary


@pytest.mark.parametrize(("venue", "enforced"), [(SPOT, True), (USDM, False)])
def test_balances_are_enforced_on_spot_only(venue, enforced):
    assert rules_of(tape(venue=venue), Execution(), Account()).enforce_balances is enforced


@pytest.mark.parametrize(
    ("venue", "changes", "message"),
    [
        (USDM, {"maker_fee_e8": 100_000}, "0.001 (MAKER_FEE_RATE)"),
        (USDM, {"maker_fee_e8": 20_000}, None),  # the taker rate is the default, but no order took
        (USDM, {"maker_fee_e8": 0, "maker_unit_fee_e8": 1_000}, None),
        (SPOT, {"maker_fee_e8": 100_000}, None),
    ],
)
def test_summary_warns_when_perpetual_maker_pays_spot_fee(venue, changes, message):
    """The default fees are those of Spot; futures have other fees."""
    notes = [
        warning
        for warning in run(tape(venue=venue), SellOnce(), **changes).summary["warnings"]
        if "spot_fees" in warning
    ]
    assert len(notes) == (message is not None)
    assert message is None or f"spot_fees: fills paid {message}, the default, which is Spot's" in notes[0]


def test_summary_warns_when_perpetual_taker_pays_spot_fee():
    """The warning names the rates of the roles that filled; without fills there is no warning."""
    (note,) = [
        warning for warning in run(tape(), BuyOnce(), maker_fee_e8=0).summary["warnings"] if "spot_fees" in warning
    ]
    assert "0.001 (TAKER_FEE_RATE)" in note
    assert not any("spot_fees" in warning for warning in run(tape(), maker_fee_e8=100_000).summary["warnings"])


@pytest.mark.parametrize(("lots", "mark"), [(10, "100.05"), (10, "0"), (0, "0")])
def test_doubtful_payment_is_paid_at_what_is_known_and_an_unknown_one_is_null(lots, mark):
    """A position of nothing pays nothing, whatever the rate was."""
    doubtful = payment(10, mark=mark)._replace(doubt="no mark price from A to B")
    summary = run(tape([doubtful]), start_lots=lots).summary
    known = mark != "0"
    assert summary["funding"] == (0.010005 if known and lots else None if lots else 0.0)
    said = [text for text in summary["warnings"] if "no mark price from A to B" in text]
    assert [("at what was known" in text, "is unknown" in text) for text in said] == [(known, not known)] * bool(lots)


@pytest.mark.parametrize("case", ["pause", "to the end", "none"])
def test_capture_whose_mark_prices_pause_says_what_funding_is_known(tmp_path, case):
    """The next price pays; without one, or without any mark price at 16:00 UTC, funding of a position is unknown."""
    due = NOON_US // 1000 + 5 * 3_600_000
    times = {
        "pause": ((0, due), (due - NOON_US // 1000 + 5_000, due + 28_800_000)),
        "to the end": ((0, due),),
        "none": (),
    }
    day = funded(tmp_path, times[case], ends_s=5 * 3_600 + 9)
    loaded = load_day(day.path)
    (paid,) = loaded.meta.funding
    assert (paid.us, paid.mark_e8 > 0, bool(paid.doubt)) == (due * 1000, case == "pause", True)
    result = mm.backtest(loaded, NoQuotes, "trade_cross", initial_inventory="1", sensitivity=False)
    assert result.summary["funding"] == (pytest.approx(-0.010005) if case == "pause" else None)
    assert sum("funding due at" in text for text in result.summary["warnings"]) == 1


def funded(tmp_path, times=((0, 2_000), (2_100, 10**6)), ends_s=0):
    """Return a day whose ledger contains a funding payment; *times* are those of mark prices and their payments, ms."""
    stream = "simusdt@markPrice@1s"
    mark = {"e": "markPriceUpdate", "s": "SIMUSDT", "p": "100.05", "r": "-0.0001"}
    times = [(at, due if due > 10**12 else NOON_US // 1000 + due) for at, due in times]
    marks = [{"stream": stream, "data": mark | {"E": NOON_US // 1000 + at, "T": due}} for at, due in times]
    updates = [diff(101, 110, asks=ASKS), diff(111, 120, asks=ASKS)]
    for update, before in zip(updates, (99, 110), strict=True):
        update["data"]["pu"] = before
    book = snapshot(105) | {"E": 1, "T": 1}
    if not ends_s:
        imported(tmp_path, [book, updates[0], *marks, updates[1]])
        return folder(tmp_path)
    stamps = [NOON_US, NOON_US + 1, *(message["data"]["E"] * 1000 + 2 for message in marks), NOON_US + ends_s * SECOND]
    lines = zip(stamps, [book, updates[0], *marks, updates[1]], strict=True)
    (tmp_path / "c.txt").write_text("".join(f"{us} {json.dumps(message)}\n" for us, message in lines))
    import_files([tmp_path / "c.txt"], tmp_path / "data")
    return folder(tmp_path)


@pytest.mark.parametrize(("rate", "warned"), [("0.001", True), ("0.0002", False)])
def test_command_warns_of_spot_fee_on_a_perpetual(tmp_path, rate, warned):
    day = funded(tmp_path)
    flags = ["--symbol", "SIMUSDT", "--day", day.day, "--data-root", str(day.root), "--out-root", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["backtest", *flags, "--maker-fee-rate", rate, "--json"])
    assert (f"warning spot_fees day={day.day} rate=0.001 way_out=" in result.stderr) == warned, result.output


def test_loaded_tape_contains_venue_and_funding(tmp_path):
    """At the time of the payment; cached tapes as well."""
    day = funded(tmp_path)
    for loaded in [load_day(day.path), *(load_day(day.path, cache=tmp_path / "kept") for _ in range(2))]:
        assert loaded.meta.venue == USDM.venue
        assert loaded.meta.funding == (Payment(NOON_US + 2 * SECOND, -10_000, 10_005_000_000),)


def test_unreadable_payment_raises_broken_file(tmp_path):
    """The message names the file and the event."""
    day = funded(tmp_path)
    text = day.events.read_text()
    assert "-0.0001" in text
    day.events.write_text(text.replace("-0.0001", "low"))
    day.manifest.unlink()
    with pytest.raises(BrokenFile, match=r"events_SIMUSDT_20260105\.csv: event \d+ is not a funding payment"):
        load_day(day.path)


@shared
def test_recorded_perpetual_can_be_held_short(tmp_path):
    """A kept tape gives the same result as its day; the payment of midnight UTC is that of the position held then."""
    captures = sorted((SHARED / "data" / "binance-usdm-btcusdt-20230404-05").glob("*.gz"))
    import_files(captures, tmp_path / "data", "BTCUSDT")
    place = tmp_path / "data" / "BTCUSDT" / "20230405"
    kept = [load_day(place, cache=tmp_path / "kept") for _ in range(2)][1]
    terms = {"initial_inventory": "-0.05", "maker_fee_rate": "0.0002", "quote_qty": "0.01", "sensitivity": False}
    strategy = {"quotes": "fixed_spread", "fills": "trade_cross", "quote_params_json": {"delta_ticks": 1}}
    results = [mm.backtest(each, **strategy, **terms) for each in (kept, load_day(place))]
    assert results[0].summary == results[1].summary
    fills = [row for row in results[0].journal.fills.tolist() if row[0] <= 1_680_652_800_000_000]
    held = Fraction(fills[-1][8] * kept.instrument.lot_e8, E8)
    assert results[0].journal.fills[:, 8].min() < 0
    due = held * Fraction("28155.1") * Fraction("0.0000276")
    assert results[0].summary["funding"] == pytest.approx(float(due), abs=1e-8)
    results[0].write_tables(tmp_path / "run")
    with (tmp_path / "run" / "state_BTCUSDT.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    summary = results[0].summary
    assert float(last["equity"]) == pytest.approx(summary["initial_equity"] + summary["pnl_total"], abs=1e-7)


class ShortThere:
    """Sell one lot in the perpetual at its bid, once."""

    def on_event(self, _market, orders):
        perp = orders.at("perp")
        if perp.inventory_lots == 0 and not len(perp):
            perp.submit(-1, 999, 1, kind="IOC")


def test_leg_in_a_perpetual_pays_its_funding():
    """A short of one lot receives .1 · 100 · .0001, in the summary's numbers of the leg and in the PnL of all."""
    rules = Rules(GRID.tick_e8, GRID.lot_e8, requote_us=SECOND, start_lots=10)
    of_leg = Rules(GRID.tick_e8, GRID.lot_e8, requote_us=10**12, enforce_balances=False)
    results = {}
    for rate_e8 in (0, 10_000):
        perp = tape([Payment(10 * SECOND, rate_e8, 100 * E8)])
        rules = replace(rules, others={"perp": OtherFeed(GRID, (perp,))}, legs={"perp": of_leg})
        results[rate_e8] = backtest(tape(venue=SPOT), ShortThere(), trade_cross(), rules)
    paid, free = results[10_000].summary, results[0].summary
    assert (paid["legs"]["perp"]["funding"], free["legs"]["perp"]["funding"]) == (-0.001, 0.0)
    assert paid["pnl_total"] - free["pnl_total"] == pytest.approx(0.001)
    assert "funding −0.001" in text_of(paid)
