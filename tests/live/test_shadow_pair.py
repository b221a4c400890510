"""A shadow whose strategy sees another market: recorded beside its own, and equal to the replay row by row."""

import asyncio
import csv
import json
import signal
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from test_shadow import SYMBOL, ended, recorded, start_shadow

from mm.backtest.live_feed import FeedEvent
from mm.cli.config import OtherMarkets
from mm.clock import now_us
from mm.errors import UsageError
from mm.live.other_markets import OtherTaker, PairedPlay, check_seen
from mm.sim.flow.scenario import Follower, PoissonMarket
from mm.sim.flow.session import STEP_US, Session
from mm.sim.wire.box import Box
from mm.sim.wire.limits import WireLimits
from mm.tape.tape import DEPTH
from support import run_python

MODEL = '''
import mm


class Follow:
    """Quote by everything that is seen of the lead, so that any difference shows."""

    signals = ("lead.return_500ms", "lead.imbalance_1")

    def quote(self, view):
        lead, moved = view.other("lead"), view.signal("lead.return_500ms")
        if lead.mid is None or moved is None:
            return None
        seen = round(10 * moved) + lead.bid_lots + (lead.last_trade.us if lead.last_trade else 0)
        return mm.Quotes(view.bid_ticks - seen % 4, view.ask_ticks + lead.age_us % 3)
'''


@asynccontextmanager
async def pair():
    """Serve a market and its lead."""
    async with AsyncExitStack() as stack:
        begins_us, boxes = now_us() // STEP_US * STEP_US, []
        for symbol, scenario in ((SYMBOL, Follower(lag_ms=300)), ("LEADUSDT", PoissonMarket())):
            session = Session(symbol, "20260105", 24.0, 0, begins_us)
            box = Box(scenario, session, speed=2.0, limits=False, wire_limits=WireLimits(attempts=None))
            await stack.enter_async_context(box.open())
            boxes.append(box)
        yield tuple(boxes)


def sees(lead):
    """Return the variables of a strategy that sees the lead."""
    place = {"symbol": "LEADUSDT", "ws_url": lead.ws_url, "rest_url": lead.rest_url}
    return {"QUOTE_MODEL": "pair_model:Follow", "OTHERS": json.dumps({"lead": place})}


@pytest.mark.slow
def test_trade_sees_another_market(tmp_path):
    """The model quotes only with a lead, whose day is recorded beside that of the traded symbol."""
    (tmp_path / "pair_model.py").write_text(MODEL)

    async def play():
        async with pair() as (own, lead):
            ready = own.ready()
            keys = {"BINANCE_API_KEY": ready["accounts"][0]["api_key"], "WS_API_URL": ready["ws_api_url"]}
            keys |= {"BINANCE_API_SECRET": ready["accounts"][0]["secret"], "VENUE": "box", "MAX_POSITION": "50"}
            process = await start_shadow(own, tmp_path, "--run-id", "T1", command="trade", **keys, **sees(lead))
            await recorded(process, tmp_path, 60_000)
            return await ended(process, signal.SIGINT)

    code, _, err = asyncio.run(play())
    assert code == 0, err
    (folder,) = (tmp_path / "out" / "trade" / SYMBOL).iterdir()
    rows = list(csv.DictReader((folder / f"decisions_{SYMBOL}.csv").read_text().splitlines()))
    assert sum(bool(row["bid_qty"]) for row in rows) > 5
    assert (tmp_path / "data" / "LEADUSDT").is_dir()


@pytest.mark.slow
def test_shadow_that_sees_another_market_equals_its_replay(tmp_path):
    """Two boxes, two recordings, one clock: every decision is made again from the two recorded days."""
    (tmp_path / "pair_model.py").write_text(MODEL)

    async def play():
        async with pair() as (own, lead):
            process = await start_shadow(own, tmp_path, "--run-id", "P1", **sees(lead))
            await recorded(process, tmp_path, 100_000)
            return await ended(process, signal.SIGINT)

    code, out, err = asyncio.run(play())
    assert code == 0, err
    assert "reconcile: " in out
    (folder,) = (tmp_path / "out" / "shadow" / SYMBOL).iterdir()
    found = json.loads((folder / "reconcile.json").read_text())
    assert found["same"]
    assert found["equal"] == found["decisions"] > 20
    rows = list(csv.DictReader((folder / f"decisions_{SYMBOL}.csv").read_text().splitlines()))
    assert len({row["bid_price"] for row in rows}) > 2
    (lead,) = (tmp_path / "data" / "LEADUSDT").iterdir()
    assert any(one["path"].startswith(f"LEADUSDT/{lead.name}/") for one in _inputs(folder))
    again = run_python("-m", "mm", "shadow", "reconcile", "P1", "--json", "--trust", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def _inputs(folder):
    return json.loads((folder / "run_manifest.json").read_text())["inputs"]


class Played:
    """A paper play that lists what it is given."""

    grid = None

    def __init__(self):
        self.exchange, self.log = self, []

    def feed(self, events):
        self.log += [("own", event.us) for event in events]

    def feed_other(self, name, events):
        self.log += [(name, event.us) for event in events]

    def advance(self, us):
        self.log.append(("until", us))


def test_own_events_wait_until_the_other_market_is_known():
    play, taker = Played(), OtherTaker()
    paired = PairedPlay(play, {"lead": taker})
    own, other = ([FeedEvent(DEPTH, us, 0, 0, ()) for us in instants] for instants in ((10, 20, 30), (15, 25)))
    paired.feed(own)
    paired.advance(40)
    assert play.log == []
    taker.feed(other[:1])
    taker.advance(20)
    paired.advance(40)
    assert play.log == [("lead", 15), ("own", 10), ("own", 20), ("until", 20)]
    taker.feed(other[1:])
    taker.advance(50)
    paired.advance(40)
    assert play.log[4:] == [("lead", 25), ("own", 30), ("until", 40)]


@pytest.mark.parametrize(("key", "value"), [("orders", {}), ("feed_latency_ms", 5)])
def test_what_a_shadow_cannot_do_in_another_market_is_refused(key, value):
    others = OtherMarkets(others=json.dumps({"lead": {"symbol": "LEADUSDT", key: value}}))
    with pytest.raises(UsageError, match=f"lead has {key}, and a shadow .*; leave {key} out"):
        check_seen(others, "a shadow")
