"""A shadow whose strategy sees another market: recorded beside its own, and equal to the replay row by row."""

import asyncio
import csv
import json
import signal
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from test_shadow import SYMBOL, ended, recorded, start_shadow
from trading_box import page

from mm.clock import now_us
from mm.errors import UsageError
from mm.live.run.other_markets import OtherTaker, PairedPlay, check_seen
from mm.play.knobs import OtherMarkets
from named import feed_event
from simulation import make_box
from state_servers import free_port
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


class Hedge:
    """Quote at the best prices; make and take in the lead by turns, by the fills of both."""

    def __init__(self):
        self.calls = 0

    def on_event(self, market, orders):
        self.calls += 1
        leg, lead = orders.at("lead"), market.other("lead")
        for side, ticks in ((1, market.bid_ticks), (-1, market.ask_ticks)):
            if not any(order.side == side for order in orders):
                orders.submit(side, ticks, until_us=market.us + 700_000)
        if lead.bid_ticks and lead.ask_ticks and self.calls % 5 == 0:
            side = 1 if (leg.inventory_lots + orders.inventory_lots + self.calls // 5) % 2 else -1
            leg.submit(side, lead.ask_ticks if side > 0 else lead.bid_ticks, kind="IOC")
        if lead.bid_ticks and len(leg) < 2:
            leg.submit(1, lead.bid_ticks)
        elif self.calls % 7 == 0:
            leg.cancel_all()
'''


@asynccontextmanager
async def pair():
    """Serve a market and its lead."""
    async with AsyncExitStack() as stack:
        terms = {"begins_us": now_us(), "seed": 0, "speed": 2.0, "limits": False, "wire": {"attempts": None}}
        boxes = make_box("follower", SYMBOL, lag_ms=300, **terms), make_box("poisson", "LEADUSDT", **terms)
        for box in boxes:
            await stack.enter_async_context(box.open())
        yield boxes


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
    again = run_python("-m", "mm", "shadow", "reconcile", "P1", "--json", "--trust", "pair_model.py", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_shadow_with_orders_in_another_market_equals_its_replay(tmp_path):
    """Makers, takers and cancels of the leg with its own latency and fees, and the sum of both PnLs."""
    (tmp_path / "pair_model.py").write_text(MODEL)
    port = free_port()

    async def play():
        async with pair() as (own, lead):
            seen = json.loads(sees(lead)["OTHERS"])
            seen["lead"]["orders"] = {"taker_fee_rate": "0.0004", "order_latency_ms": 7, "initial_inventory": "3"}
            given = {"QUOTE_MODEL": "pair_model:Hedge", "OTHERS": json.dumps(seen), "METRICS_PORT": str(port)}
            process = await start_shadow(own, tmp_path, "--run-id", "H1", **given)
            await recorded(process, tmp_path, 40_000)
            shown = await asyncio.to_thread(page, port)
            return shown, *await ended(process, signal.SIGINT)

    shown, code, out, err = asyncio.run(play())
    assert code == 0, err
    (folder,) = (tmp_path / "out" / "shadow" / SYMBOL).iterdir()
    found = json.loads((folder / "reconcile.json").read_text())
    assert found["same"], found["first_difference"]
    actions = Counter(row["action"] for row in _table(folder / "legs" / "lead" / "orders_LEADUSDT.csv"))
    assert min(actions[name] for name in ("PLACE", "FILL", "CANCEL_ACK")) > 2
    assert len({row["reason"] for row in _table(folder / "legs" / "lead" / "fills_LEADUSDT.csv")}) > 1
    summary = json.loads((folder / "summary.json").read_text())
    parts = summary["own_market"]["pnl_total"], summary["legs"]["lead"]["pnl_total"]
    assert summary["pnl_total"] == pytest.approx(sum(parts))
    assert "all legs" in out
    assert any(line.startswith(f'mm_position{{symbol="{SYMBOL}:lead"}}') for line in shown)
    assert any(line.startswith(f'mm_pnl_all_legs{{symbol="{SYMBOL}"}}') for line in shown)
    again = run_python("-m", "mm", "shadow", "reconcile", "H1", "--trust", "pair_model.py", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    fills = folder / "legs" / "lead" / "fills_LEADUSDT.csv"
    fills.write_text("".join(fills.read_text().splitlines(keepends=True)[:-1]))
    changed = run_python("-m", "mm", "shadow", "reconcile", "H1", "--trust", "pair_model.py", cwd=tmp_path)
    assert changed.returncode == 3


def _table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def _inputs(folder):
    return json.loads((folder / "run_manifest.json").read_text())["inputs"]


class Played:
    """A paper play that lists what it is given."""

    grid = None

    def __init__(self):
        self.exchange, self.log = self, []

    def feed(self, events):
        self.log += [("own", event.us) for event in events]

    def feed_other(self, name, events, payments):
        assert not payments
        self.log += [(name, event.us) for event in events]

    def advance(self, us):
        self.log.append(("until", us))


def test_own_events_wait_until_the_other_market_is_known():
    play, taker = Played(), OtherTaker()
    paired = PairedPlay(play, {"lead": taker})
    own, other = ([feed_event("depth", us, 0, 0, ()) for us in instants] for instants in ((10, 20, 30), (15, 25)))
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


def test_what_a_shadow_cannot_do_in_another_market_is_refused():
    others = OtherMarkets(others=json.dumps({"lead": {"symbol": "LEADUSDT", "feed_latency_ms": 5}}))
    with pytest.raises(UsageError, match=r"lead has feed_latency_ms, and a shadow .*; leave it out"):
        check_seen(others, "a shadow")
