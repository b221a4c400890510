"""The strategy of a run without QUOTE_MODEL: at or behind the best prices, rarely rejected, on both sides."""

import json
import math
from pathlib import Path

import pytest

import mm
from captured import import_files
from captures import CAPTURES
from mm.__main__ import main
from mm.backtest.fills.intensity import FOREVER, Intensity, IntensityPiece
from mm.dayfolder.layout import days_of
from mm.errors import ModelError
from mm.instrument import E8
from named import model_of
from simulation import simulate_day
from support import run_mm

DATA = Path(__file__).parents[3] / "shared/data"
RECORDED = [(name, symbol) for name, capture in CAPTURES.items() for symbol in capture.symbols]
FEW_FILLS = {"quiet": 0}  # at the touch of the others there are more than five
FUNDED = {"initial_cash": "10000000000", "initial_inventory": "10000000", "sensitivity": False}


def funded(name):
    """Return balances for a market; a contract needs cash alone, and such a position is above every bracket."""
    return {key: value for key, value in FUNDED.items() if name != "usdm" or key != "initial_inventory"}


@pytest.mark.parametrize("spread", [1, 2, 192])
def test_without_a_fit_it_joins_the_touch_of_a_still_market(spread):
    """With no inventory and no moves seen, bid and ask are the best prices, whatever the spread."""
    quotes = model_of("avellaneda_stoikov", k="touch").answer(bid_ticks=1000, ask_ticks=1000 + spread)
    assert (quotes.bid_ticks, quotes.ask_ticks) == (1000, 1000 + spread)


def test_quotes_are_behind_the_touch_by_the_moves_of_the_mid():
    """Moves of 10 ticks each 250 ms are a variance of 400 per second, over 1.5 s, decaying in 10 s."""
    model = model_of("avellaneda_stoikov", k="touch")
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
    folder = simulate_day(tmp_path, "zero_intelligence", hours=0.1, seed=3, symbol="ZIUSDT")
    tape = mm.load_day(folder)
    half = (tape.start_us + tape.end_us) // 2
    first, second = tape.between(tape.start_us, half), tape.between(half, tape.end_us)
    used, knobs = (
        model_of("avellaneda_stoikov", k="touch"),
        {"fills": model_of("queue_prob_power"), "sensitivity": False},
    )
    mm.backtest(first, used, **knobs)
    again, fresh = (mm.backtest(second, model, **knobs) for model in (used, model_of("avellaneda_stoikov", k="touch")))
    assert again.summary["n_fills"] > 0
    assert (again.journal.orders == fresh.journal.orders).all()


def test_quotes_stand_behind_a_price_at_which_an_order_was_met(tmp_path):
    """For .3 s after a fill or a rejection of a bid at p each bid is below p, after each further one twice as far."""
    folder = simulate_day(tmp_path, "zero_intelligence", hours=0.5, seed=3, symbol="ZIUSDT")
    tape = mm.load_day(folder)
    found = mm.backtest(tape, fills=model_of("queue_prob_power"), sensitivity=False)
    met, farthest = {}, 0
    for us, action, side, price in found.orders.select("recv_us", "action", "side", "price").iter_rows():
        ticks = round(float(price) * E8) // tape.instrument.tick_e8
        met_ticks, met_us, times = met.get(side, (0, -(1 << 62), 0))
        recent = us - met_us <= 300_000
        if action == "PLACE" and recent:
            assert (met_ticks - ticks if side == "BUY" else ticks - met_ticks) >= times
            farthest = max(farthest, times)
        elif action in ("CLOSE_FILLED", "REJECT"):
            met[side] = ticks, us, min(2 * times, 32) if recent else 1
    assert found.summary["n_rejects"] <= 0.05 * found.summary["n_orders"]
    assert farthest > 1


def test_a_clip_moves_the_quotes_by_its_share_of_the_distance_at_which_they_rest():
    """A fit with a k of 2 has its optimum half a tick from the mid; moves keep the quotes farther, and so the skew."""
    piece = IntensityPiece(0, FOREVER, 1.0, 2.0, 1.0, 0.1, 0.1)
    fitted, joining = (
        model_of("avellaneda_stoikov", intensity=Intensity([piece]), sigma=5.0),
        model_of("avellaneda_stoikov", k="touch", sigma=5.0),
    )
    for step in range(40):
        tops = {"bid_ticks": 1000 + 10 * (step % 2), "ask_ticks": 1001 + 10 * (step % 2), "us": 250_000 * step}
        one, other = (model.answer(**tops, inventory_lots=20) for model in (fitted, joining))
    assert one.bid_ticks == other.bid_ticks < 1000 - 10


def test_with_a_fit_it_stays_within_the_measured_distances():
    """30 clips would move the bid 90 ticks away, but nothing farther than 25 ticks was measured."""
    piece = IntensityPiece(0, FOREVER, 1.0, 0.1, 1.0, 0.1, 0.1, min_delta_ticks=0.0, max_delta_ticks=25.0)
    quotes = model_of("avellaneda_stoikov", intensity=Intensity([piece]), sigma=1.0).answer(
        bid_ticks=999, ask_ticks=1001, inventory_lots=29
    )
    assert quotes.bid_ticks == 1000 - 25
    assert quotes.ask_ticks == 1001


@pytest.mark.slow
@pytest.mark.parametrize(("name", "symbol"), RECORDED, ids=[" ".join(one) for one in RECORDED])
def test_defaults_on_recorded_days(tmp_path, name, symbol):
    """With both balances funded: fills, at most 5 % of orders rejected, both sides at rest for .9 of the time."""
    capture = CAPTURES[name]
    if not capture.path.is_dir():
        pytest.skip("needs ../shared/data, the recorded captures")
    done = run_mm("data", "import", *capture.words(tmp_path, symbol), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for day in days_of(tmp_path / "data", symbol):
        tape = mm.load_day(tmp_path / "data" / symbol / day)
        fits = [mm.calibrate(tape)]
        for feed in ("auto", "none"):
            for fit in (None, *(one for one in fits if one.usable)):
                found = mm.backtest(
                    tape, **funded(name), feed_latency=feed, **({} if fit is None else {"fit": fit})
                ).summary
                assert found["n_fills"] >= FEW_FILLS.get(name, 6)
                assert found["n_rejects"] <= 0.05 * found["n_orders"]
                assert found["two_sided_uptime"] >= 0.9
                misfit = fit is not None and fit.status == "misfit"
                assert found.get("quotes_from") == ("curve" if misfit and fit.line else None)
                assert any("quotes_from" in line for line in found["warnings"]) == ("quotes_from" in found)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "symbol"), [("multi", "ETHUSDT"), ("usdm", "BTCUSDT")])
@pytest.mark.parametrize("quotes", ["glft", "avellaneda_stoikov_bare"])
def test_a_formula_alone_says_why_it_cannot_keep_the_bounds(tmp_path, name, symbol, quotes):
    capture = CAPTURES[name]
    if not capture.path.is_dir():
        pytest.skip("needs ../shared/data, the recorded captures")
    assert run_mm("data", "import", *capture.words(tmp_path, symbol), cwd=tmp_path).returncode == 0
    tape = mm.load_day(tmp_path / "data" / symbol / days_of(tmp_path / "data", symbol)[-1])
    found = mm.backtest(tape, quotes, **funded(name), fit=mm.calibrate(tape)).summary
    crossing = [line for line in found["warnings"] if "would_cross" in line]
    uptime = [line for line in found["warnings"] if "on both sides" in line]
    assert found["n_rejects"] > 0.05 * found["n_orders"]
    assert len(crossing) == 1
    assert "a fill" in crossing[0]
    assert len(uptime) == (found["two_sided_uptime"] < 0.9)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a data root with a recorded day of BTCUSDT."""
    folder = DATA / "binance-spot-multi-20210404"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, the recorded captures")
    root = tmp_path_factory.mktemp("recorded")
    import_files(sorted(folder.glob("*.gz")), root, "BTCUSDT")
    return root


@pytest.mark.parametrize(("rate", "said"), [("0.001", True), ("0", False)])
def test_a_fee_that_the_quotes_cannot_earn_is_said(recorded, tmp_path, capfd, rate, said):
    """A tenth of a per cent of 58,000 is 5,800 ticks; the quotes rest at most a few hundred from the mid."""
    places = ["--data-root", str(recorded), "--out-root", str(tmp_path / "out")]
    market = ["--symbol", "BTCUSDT", "--day", "20210404", "--maker-fee-rate", rate, "--sensitivity", "0"]
    with pytest.raises(SystemExit) as ended:
        main(["backtest", *places, *market])
    assert not ended.value.code
    assert ("note: fee_not_earned: the median quoted half-spread" in capfd.readouterr().out) == said
    (summary,) = (tmp_path / "out").rglob("summary.json")
    assert any(line.startswith("fee_not_earned") for line in json.loads(summary.read_text())["warnings"]) == said


def test_prices_instead_of_ticks_are_refused(recorded):
    """A bid of 57,900 is the price of BTCUSDT; in ticks the market is at 5.8 million."""

    class Prices:
        def quote(self, view):
            return mm.Quotes(bid_ticks=view.bid_ticks / 100, ask_ticks=view.ask_ticks / 100)

    with pytest.raises(ModelError, match=r"Prices.quote returned bid_ticks=5.*ticks"):
        mm.backtest(mm.load_day(recorded / "BTCUSDT/20210404"), Prices())
