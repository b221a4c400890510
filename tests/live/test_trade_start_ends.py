"""Starts that end after each of their steps, and starts without a market, leave the limits on money as they were."""

import json
import signal
from pathlib import Path

import pytest
from die_after import STEPS
from exchange_books import samples
from hosted_box import hosted
from test_trade_many_fills import LOOSE, trade
from trading_box import ended

from state_servers import free_port

DIE = str(Path(__file__).with_name("die_after.py"))
RATIO = 'mm_risk_used_ratio{symbol="SIMUSDT",limit="MAX_DAILY_LOSS"}'
LIMIT = "400"


def lost(box, terms, symbols=("SIMUSDT",)):
    """Let alice lose a part of the day's limit, and return the used share of it, by the page of the trader."""
    port = int(terms["METRICS_PORT"])
    with box.quoting(symbols, **terms) as process:
        trade(box, process, 200, symbols)
        for symbol in symbols:
            box.move(-100, symbol)
        used = box.until(lambda: samples(port, "mm_risk_used_ratio").get(RATIO), "a loss", process=process)
        process.kill()
    return used


def marks(box, symbol="SIMUSDT"):
    return json.loads((box.folder / "out" / "risk" / f"{symbol}.equity.json").read_text())


def used_again(box, terms):
    with box.quoting(**terms) as process:
        page = lambda: samples(int(terms["METRICS_PORT"]), "mm_risk_used_ratio", "mm_account_daily_loss")  # noqa: E731
        # Other limits are on the page before the first mid, by which the loss is judged.
        box.until(lambda: RATIO in page(), "the loss on the page", process=process)
        found = page()
        assert ended(process)[0] == 0
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_starts_that_end_after_any_step_leave_the_days_loss(tmp_path, number):
    """The mark of the day is that of the first start, whether its file is there or not."""
    port = free_port()
    with hosted(tmp_path) as box:
        terms = {**LOOSE, "METRICS_PORT": str(port), "MAX_DAILY_LOSS": LIMIT}
        lost(box, terms)
        first = marks(box)["day_equity_e8"]
        for step in STEPS:
            if number == signal.SIGKILL and STEPS.index(step) % 3 == 0:
                (tmp_path / "out" / "risk" / "SIMUSDT.equity.json").unlink(missing_ok=True)
            with box.trader(entry=(DIE, step, str(int(number)), "trade"), **terms) as process:
                code, output, _ = ended(process, number=None, seconds=120)
            assert code in (-number, 0, 75), (step, output)
        found = used_again(box, terms)
        assert marks(box)["day_equity_e8"] == first
        assert found[RATIO] > 0


@pytest.mark.slow
def test_start_without_a_market_judges_nothing_and_loses_nothing(tmp_path):
    """More is held than may be lost: no kill before a book, an alert's metric, and a kill once the loss is there."""
    port = free_port()
    symbols = ("SIMUSDT", "BOXUSDT")
    with hosted(tmp_path, *symbols) as box:
        terms = {**LOOSE, "SYMBOL": ",".join(symbols), "METRICS_PORT": str(port), "MAX_DAILY_LOSS": "300"}
        terms |= {"ACCOUNT_MAX_DAILY_LOSS": "300", "MAX_POSITION": "20", "ACCOUNT_MAX_NOTIONAL": "1000000"}
        lost(box, terms, symbols)
        before = {symbol: marks(box, symbol)["day_equity_e8"] for symbol in symbols}
        for silent in (symbols, symbols[1:], symbols[:1]):
            box.silent |= set(silent)
            with box.trader(**terms) as process:
                unjudged = [f'mm_limits_unjudged{{symbol="{symbol}"}}' for symbol in silent]
                waits = lambda: all(samples(port, "mm_limits_unjudged").get(name) == 1 for name in unjudged)  # noqa: E731, B023
                shown = lambda: samples(port, "mm_risk_used_ratio") and samples(port, "mm_account_age_seconds")  # noqa: E731
                box.until(_answers(shown), "a trader that is ready", process=process)
                box.until(_answers(waits), "a page without a mid", process=process)
                for _ in range(40):
                    found = _answers(lambda: samples(port, "mm_account_limits_unjudged", "mm_account_daily_loss"))()
                    assert process.poll() is None
                    if found:
                        assert found.get("mm_account_limits_unjudged", 1) == 1
                        assert "mm_account_daily_loss" not in found
                code, output, _ = ended(process)
                assert code == 0, output
            box.silent.clear()
        assert {symbol: marks(box, symbol)["day_equity_e8"] for symbol in symbols} == before
        with box.quoting(symbols, **terms) as process:
            shown = box.until(_answers(lambda: samples(port, "mm_account_")), "the page", process=process)
            assert shown["mm_account_limits_unjudged"] == 0
            assert 0 < shown["mm_account_daily_loss"] < 300
            assert ended(process)[0] == 0
        with box.trader(**terms | {"ACCOUNT_MAX_DAILY_LOSS": "1"}) as process:
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 5, output
        assert "ACCOUNT_MAX_DAILY_LOSS" in output


def _answers(ask):
    """Return *ask*, which returns None while the page does not answer."""

    def asked():
        try:
            return ask()
        except OSError:
            return None

    return asked
