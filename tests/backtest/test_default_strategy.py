"""The strategy of a run without QUOTE_MODEL: at or behind the best prices, rarely rejected, on both sides."""

import json
import math
from pathlib import Path

import pytest

import mm
from mm.__main__ import main
from mm.backtest.fills.intensity import FOREVER, Intensity, IntensityPiece
from mm.backtest.models import avellaneda_stoikov, queue_prob_power
from mm.dayfolder.layout import DayFolder, days_of
from mm.errors import ModelError
from mm.market_data.import_capture import ImportOptions, import_captures
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import ZeroIntelligence
from mm.sim.flow.session import Session

DATA = Path(__file__).parents[3] / "shared/data"
CAPTURES = [
    ("binance-spot-btcusdt-20240808-09", "BTCUSDT"),
    ("binance-spot-multi-20210404", "BTCUSDT"),
    ("binance-spot-multi-20210404", "ETHUSDT"),
    ("binance-spot-multi-20210404", "DOTUSDT"),
]
FUNDED = {"initial_cash": "10000000", "initial_inventory": "1000", "sensitivity": False}


@pytest.mark.parametrize("spread", [1, 2, 192])
def test_without_a_fit_it_joins_the_touch_of_a_still_market(spread):
    """With no inventory and no moves seen, bid and ask are the best prices, whatever the spread."""
    quotes = avellaneda_stoikov(k="touch").answer(bid_ticks=1000, ask_ticks=1000 + spread)
    assert (quotes.bid_ticks, quotes.ask_ticks) == (1000, 1000 + spread)


def test_quotes_are_behind_the_touch_by_the_moves_of_the_mid():
    """Moves of 10 ticks each 250 ms are a variance of 400 per second, over 1.5 s, decaying in 10 s."""
    model = avellaneda_stoikov(k="touch")
    squares = seconds = 0.0
    for step in range(1, 41):
        up = 10 * (step % 2)
        quotes = model.answer(bid_ticks=1000 + up, ask_ticks=1001 + up, us=step * 250_000)
        if step > 1:
            left = math.exp(-0.25 / 10.0)
            squares, seconds = squares * left + 100.0, seconds * left + 0.25
    reach = math.floor(math.sqrt(1.5 * squares / seconds))
    assert reach > 0
    assert quotes.bid_ticks <= 1000 - reach
    assert quotes.ask_ticks >= 1001 + reach
    assert quotes.ask_ticks - quotes.bid_ticks <= 2 * (1 + 1.25 * reach)


def test_a_model_that_has_played_plays_as_a_fresh_one(tmp_path):
    """Moves of the mid of an earlier run do not place the quotes of the next."""
    folder = DayFolder(tmp_path, "ZIUSDT", "20260105")
    make_day(folder, ZeroIntelligence(), Session("ZIUSDT", "20260105", 0.1, 3))
    tape = mm.load_day(folder)
    half = (tape.start_us + tape.end_us) // 2
    first, second = tape.between(tape.start_us, half), tape.between(half, tape.end_us)
    used, knobs = avellaneda_stoikov(k="touch"), {"fills": queue_prob_power(), "sensitivity": False}
    mm.backtest(first, used, **knobs)
    again, fresh = (mm.backtest(second, model, **knobs) for model in (used, avellaneda_stoikov(k="touch")))
    assert again.summary["n_fills"] > 0
    assert (again.journal.orders == fresh.journal.orders).all()


def test_with_a_fit_it_stays_within_the_measured_distances():
    """30 clips would move the bid 90 ticks away, but nothing farther than 25 ticks was measured."""
    piece = IntensityPiece(0, FOREVER, 1.0, 0.1, 1.0, 0.1, 0.1, min_delta_ticks=0.0, max_delta_ticks=25.0)
    quotes = avellaneda_stoikov(intensity=Intensity([piece]), sigma=1.0).answer(
        bid_ticks=999, ask_ticks=1001, inventory_lots=29
    )
    assert quotes.bid_ticks == 1000 - 25
    assert quotes.ask_ticks == 1001


TOO_MANY = "with the feed's latency five captures reject 6 to 12 %, as the quotes follow the market later"


@pytest.mark.slow
@pytest.mark.parametrize("feed", ["none", pytest.param("auto", marks=pytest.mark.xfail(reason=TOO_MANY))])
@pytest.mark.parametrize(("folder", "symbol"), CAPTURES, ids=[f"{one[0][13:]} {one[1]}" for one in CAPTURES])
def test_defaults_on_recorded_days(tmp_path, folder, symbol, feed):
    """With both balances funded: fills, at most 5 % of orders rejected, both sides at rest for .9 of the time."""
    if not (DATA / folder).is_dir():
        pytest.skip("needs ../shared/data, the recorded captures")
    import_captures(sorted((DATA / folder).glob("*.gz")), symbol, tmp_path, run_id="R", options=ImportOptions())
    tape = mm.load_day(tmp_path / symbol / days_of(tmp_path, symbol)[-1])
    for fit in (None, mm.calibrate(tape)):
        found = mm.backtest(tape, **FUNDED, feed_latency=feed, **({} if fit is None else {"fit": fit})).summary
        assert found["n_fills"] > 5
        assert found["n_rejects"] <= 0.05 * found["n_orders"]
        assert found["two_sided_uptime"] >= 0.9
        misfit = fit is not None and fit.status == "misfit"
        assert found.get("quotes_from") == ("curve" if misfit and fit.line else None)
        assert any("quotes_from" in line for line in found["warnings"]) == ("quotes_from" in found)


@pytest.mark.parametrize(("rate", "said"), [("0.001", True), ("0", False)])
def test_a_fee_that_the_quotes_cannot_earn_is_said(tmp_path, capfd, rate, said):
    """A tenth of a per cent of 58,000 is 5,800 ticks; the quotes rest at most a few hundred from the mid."""
    folder = DATA / "binance-spot-multi-20210404"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, the recorded captures")
    import_captures(sorted(folder.glob("*.gz")), "BTCUSDT", tmp_path / "data", run_id="R", options=ImportOptions())
    places = ["--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out")]
    market = ["--symbol", "BTCUSDT", "--day", "20210404", "--maker-fee-rate", rate, "--sensitivity", "0"]
    with pytest.raises(SystemExit) as ended:
        main(["backtest", *places, *market])
    assert not ended.value.code
    before = capfd.readouterr().err.partition("k_assumed")[2]
    assert ("fee_not_earned half_spread_ticks=0.5 fee_ticks=5" in before) == said
    (summary,) = (tmp_path / "out").rglob("summary.json")
    assert any(line.startswith("fee_not_earned") for line in json.loads(summary.read_text())["warnings"]) == said


def test_prices_instead_of_ticks_are_refused(tmp_path):
    """A bid of 57,900 is the price of BTCUSDT; in ticks the market is at 5.8 million."""
    folder = DATA / "binance-spot-multi-20210404"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, the recorded captures")
    import_captures(sorted(folder.glob("*.gz")), "BTCUSDT", tmp_path, run_id="R", options=ImportOptions())

    class Prices:
        def quote(self, view):
            return mm.Quotes(bid_ticks=view.bid_ticks / 100, ask_ticks=view.ask_ticks / 100)

    with pytest.raises(ModelError, match=r"Prices.quote returned bid_ticks=5.*ticks"):
        mm.backtest(mm.load_day(tmp_path / "BTCUSDT/20210404"), Prices())
