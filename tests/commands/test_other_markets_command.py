"""``OTHERS`` on the command line: how it is typed, and what a run keeps of it."""

import json

import pytest

from mm.base.knobs import OTHERS
from mm.play.knobs import OtherMarkets
from support import run_python

MODEL = """
class Hedged:
    def on_event(self, market, orders):
        lead = market.other("lead")
        if lead.ask_ticks and not orders.at("lead").inventory_lots:
            orders.at("lead").submit(1, lead.ask_ticks + 9, kind="IOC")
"""


def test_lists_and_json_declare_the_same_markets():
    listed = json.loads(OTHERS.parse("lead=btcusdt, ETHUSDT"))
    assert listed == {"lead": {"symbol": "BTCUSDT"}, "ETHUSDT": {"symbol": "ETHUSDT"}}
    declared = OtherMarkets(others=OTHERS.parse('{"lead": {"symbol": "btcusdt", "orders": {}}}')).declared()
    assert declared == {"lead": {"symbol": "BTCUSDT", "orders": {}}}
    assert OtherMarkets().declared() == {}


@pytest.mark.parametrize(
    "text",
    [
        *("le-ad=BTCUSDT", "a=BTCUSDT,a=ETHUSDT", "lead=", '{"lead": {}}', '{"lead": 1}', "{"),
        *('{"l": {"symbol": "B", "late": 1}}', '{"l": {"symbol": "B", "orders": 1}}'),
        '{"l": {"symbol": "B", "feed_latency_ms": "x"}}',
    ],
)
def test_wrong_declarations_are_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        OTHERS.parse(text)


@pytest.mark.slow
def test_backtest_with_a_leg_is_reproducible_and_keeps_its_files(tmp_path):
    (tmp_path / "hedged.py").write_text(MODEL)

    def mm(*words, **variables):
        done = run_python("-m", "mm", *words, cwd=tmp_path, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for symbol, scenario in (("LEADUSDT", ("poisson",)), ("FOLUSDT", ("follower", "--lag-ms", "200"))):
        mm("sim", "day", "--symbol", symbol, "--day", "20260105", "--hours", "0.05", "--scenario", *scenario)
    others = json.dumps({"lead": {"symbol": "LEADUSDT", "orders": {"taker_fee_rate": 0.0001}}})
    day = ("--symbol", "FOLUSDT", "--day", "20260105")
    mm("backtest", *day, "--run-id", "R", "--quote-model", "hedged:Hedged", "--others", others)
    folder = tmp_path / "out" / "backtest" / "FOLUSDT" / "20260105_R"
    summary, manifest = (json.loads((folder / f"{name}.json").read_text()) for name in ("summary", "run_manifest"))
    assert summary["legs"]["lead"]["n_fills"] > 0
    parts = summary["own_market"]["pnl_total"], summary["legs"]["lead"]["pnl_total"]
    assert summary["pnl_total"] == pytest.approx(sum(parts))
    assert {f"legs/lead/{table}_LEADUSDT.csv" for table in ("orders", "fills", "state")} <= {
        one["path"] for one in manifest["outputs"]
    }
    assert any(one["path"].startswith("LEADUSDT/20260105/") for one in manifest["inputs"])
    assert "own_market" not in mm("backtest", *day, "--json", "--run-id", "S")
    assert "byte-identical" in mm("runs", "reproduce", "R", "--trust", "hedged.py")


@pytest.mark.slow
def test_walkforward_shows_other_markets(tmp_path):
    """Its inputs are those of both markets; without OTHERS the missing market is named."""
    (tmp_path / "seen.py").write_text(
        "import mm\n\n\nclass Seen:\n    def quote(self, view):\n"
        "        lead = view.other('lead')\n"
        "        return mm.Quotes(view.bid_ticks, view.ask_ticks) if lead.bid_ticks else None\n"
    )

    def mm(*words):
        return run_python("-m", "mm", *words, cwd=tmp_path, QUOTE_MODEL="seen:Seen", INITIAL_INVENTORY="1")

    for symbol in ("AAAUSDT", "BBBUSDT"):
        assert mm("sim", "day", "--symbol", symbol, "--day", "20260105", "--hours", "0.5").returncode == 0
    words = ("walkforward", "--symbol", "AAAUSDT", "--day", "20260105", "--wf-train-window-min", "10")
    done = mm(*words, "--run-id", "R", "--others", "lead=BBBUSDT")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out/walkforward/AAAUSDT/20260105_R/run_manifest.json").read_text())
    assert manifest["summary"]["n_fills"] > 0
    assert {one["path"].split("/")[0] for one in manifest["inputs"]} >= {"AAAUSDT", "BBBUSDT"}
    alone = mm(*words, "--run-id", "S")
    assert (alone.returncode, "set OTHERS" in alone.stderr) == (1, True), alone.stderr
