"""A strategy in one market that sees, or hedges in, a market of the other kind: shadow, trade, and their replays."""

import json
import time

import pytest
from pair_box import SPOT, USDM, pair_of
from trading_box import ended

from mm.cli.task_knobs import Recorder
from mm.errors import UsageError
from mm.live.run.other_markets import Place, places_of
from mm.play.knobs import OtherMarkets, Source

MARKETS = (SPOT, USDM)
PUBLISHED = {SPOT: ("wss://stream.binance.com:9443", "https://api.binance.com")}
SEES = '''
import mm


class Sees:
    """Quote at the best prices, only while the other market is seen."""

    def quote(self, view):
        return mm.Quotes(view.bid_ticks, view.ask_ticks) if view.other("other").mid is not None else None
'''


def places(own, tmp_path, **declared):
    """Return the place of another market beside one that is recorded at a box."""
    recorder = Recorder(ws_url="ws://127.0.0.1:5", rest_url="http://127.0.0.1:5")
    source = Source(symbol="SIMUSDT", data_root=tmp_path)
    others = OtherMarkets(others=json.dumps({"other": {"symbol": "SIMUSDT", **declared}}))
    return places_of(others, Place(source, recorder, own), PUBLISHED)["other"]


def test_other_kind_of_market_has_the_published_addresses_and_its_own_levels(tmp_path):
    found = places(USDM, tmp_path, market=SPOT, data_root=str(tmp_path / "leg"))
    assert (found.market, found.recorder.ws_url, found.recorder.rest_url) == (SPOT, *PUBLISHED[SPOT])
    given = {"ws_url": "ws://127.0.0.1:6", "rest_url": "http://127.0.0.1:6", "data_root": str(tmp_path / "leg")}
    found = places(SPOT, tmp_path, market=USDM, **given)
    assert (found.market, found.recorder.ws_url, found.recorder.snapshot_limit) == (USDM, given["ws_url"], 1_000)


@pytest.mark.parametrize("market", MARKETS)
def test_recording_of_another_market_has_no_page_of_its_own(tmp_path, market):
    """The port of the page is that of the strategy's own market."""
    own = Place(Source(symbol="AUSDT", data_root=tmp_path), Recorder(metrics_port=9_109), SPOT)
    declared = {"symbol": "SIMUSDT", "market": market, "data_root": str(tmp_path / "leg")}
    declared |= {"ws_url": "ws://127.0.0.1:6", "rest_url": "http://127.0.0.1:6"}
    assert (
        places_of(OtherMarkets(others=json.dumps({"other": declared})), own, PUBLISHED)["other"].recorder.metrics_port
        == 0
    )


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"data_root": "leg"}, "other is of the market usdm"),
        ({"data_root": "leg", "ws_url": "ws://127.0.0.1:6"}, "give its ws_url and rest_url"),
        ({"ws_url": "ws://127.0.0.1:6", "rest_url": "http://127.0.0.1:6"}, "data_root"),
        ({"data_root": "leg", "ws_url": "wss://data-stream.binance.vision", "rest_url": "http://a"}, "ws_url was"),
    ],
)
def test_market_without_address_or_folder_of_its_own_is_refused(tmp_path, declared, why):
    with pytest.raises(UsageError, match=why):
        places(SPOT, tmp_path, market=USDM, **declared)


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_shadow_with_orders_in_the_other_market_pays_funding_as_its_replay(tmp_path, own):
    """Of whichever leg is the perpetual; payments become known up to a minute late."""
    with pair_of(tmp_path, own, funding_s=10) as pair:
        with pair.command("shadow", FILL_MODEL="queue_risk_averse") as process:
            time.sleep(70)
            code, output, _ = ended(process)
        assert code == 0, output
        folder = next((tmp_path / "out" / "shadow").glob("*/*/summary.json")).parent
        compared = json.loads((folder / "reconcile.json").read_text())
        assert compared["same"], compared
        assert compared["fills_live"] > 0
        terms, summary = (json.loads((folder / name).read_text()) for name in ("shadow.json", "summary.json"))
        paid, money = (terms, summary) if own == USDM else (terms["others"]["other"], summary["legs"]["other"])
        assert len(paid["payments"]) > 3
        assert money["funding"] not in (None, 0.0)
        again = pair.run("shadow", "reconcile", str(folder), "--trust", "pair.py")
        assert again.returncode == 0, again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_trade_sees_the_other_market_and_its_days_replay_without_naming_it(tmp_path, own):
    """The recorded days say which market each is of, and so whose log is taken off which."""
    with pair_of(tmp_path, own) as pair:
        (tmp_path / "sees.py").write_text(SEES)
        seen = {key: value for key, value in pair.leg_terms().items() if key not in ("orders", "ws_api_url")}
        model = {"QUOTE_MODEL": "sees:Sees", "OTHERS": json.dumps({"other": seen})}
        with pair.trader(**model) as process:
            pair.boxes[own].until(lambda: pair.boxes[own].account()["trades"], "fills", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert pair.boxes[pair.leg].account()["orders"] == []

        with pair.trader() as process:
            pair.traded(process, 3)
            code, output, _ = ended(process)
        assert code == 0, output
        leg = pair.leg_terms()
        named = {"symbol": leg["symbol"], "data_root": leg["data_root"], "orders": leg["orders"]}
        (day,) = {path.name for path in (tmp_path / "data_leg" / leg["symbol"]).iterdir()}
        replayed = []
        for other in (named, {**named, "market": pair.leg}):
            done = pair.run("backtest", "--day", day, "--json", MARKET="", OTHERS=json.dumps({"other": other}))
            assert done.returncode == 0, done.stderr
            replayed.append(json.loads(done.stdout))
        first, second = (
            json.loads((tmp_path / one["path"]).with_name("run_manifest.json").read_text()) for one in replayed
        )
        assert first["inputs"] == second["inputs"]
        logs = [one["path"] for one in first["inputs"] if one["path"].endswith(".ndjson")]
        assert len(logs) == len(set(logs)) == 3
