"""An exchange that is wiped while ``mm trade`` runs: it gives the ids of trades and orders again."""

import pytest
from test_trade_symbols import CALM, SYMBOLS
from trading_box import ended, venue
from trading_truth import log_rows
from usdm_box import QUOTING

from state_servers import free_port

MARKETS = {
    "spot": ((), {}),
    "usdm": (("--market", "usdm"), {"MARKET": "usdm", **QUOTING}),
    "symbols": (("--symbol", ",".join(SYMBOLS)), CALM),
}
KNOBS = {"QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}', "LATENCY_THRESHOLD_MS": "60000"}


@pytest.mark.slow
@pytest.mark.parametrize("adopt", ["0", "1"])
@pytest.mark.parametrize("market", MARKETS)
def test_wiped_exchange_ends_a_trade_with_3_and_books_nothing(tmp_path, market, adopt):
    """What is gone is no transfer; the next start says the same, and only a start with ADOPT goes on."""
    flags, knobs = MARKETS[market]
    place = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4", "--port", str(free_port()), *flags)
    terms = {**KNOBS, **knobs, "RECONCILE_INTERVAL_S": "2"}
    with venue(tmp_path, *place) as box, box.trader(**terms, ADOPT=adopt) as running:
        box.until(lambda: len(box.account()["trades"]) > 2, "fills", process=running)
        box.until(lambda: len(box.rows("fill")) > 2, "their rows", process=running)
        box.process.kill()
        box.process.wait()
        with venue(tmp_path, *place) as wiped:
            _, said = running.communicate(timeout=90)
            assert running.returncode == 3, said
            (line,) = [text for text in said.splitlines() if text.startswith("error:")]
            assert "the venue was reset" in line
            assert "ADOPT" in line
            assert "account_transfer" not in said
            assert said.count("reconcile_failed") < 15
            assert [row for row in log_rows(wiped) if row["type"] == "transfer"] == []
            assert wiped.account()["orders"] == []
            again = wiped.run("trade", **terms)
            assert again.returncode == 3, again.stderr
            with wiped.trader(**terms, ADOPT="1") as adopted:
                wiped.until(lambda: wiped.account()["trades"], "fills", process=adopted)
                code, output, _ = ended(adopted)
                assert code == 0, output
