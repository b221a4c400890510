"""The page of an exchange in a box: its best prices against its own books, PnL against fractions, and its contents."""

import asyncio
import hmac
from fractions import Fraction
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest

from journals import BTCUSDT
from mm.sim.exchange.orders import Fill
from mm.sim.matching.order_log import ROW_LEVEL
from mm.sim.wire.box import Box
from mm.sim.wire.box_page import BestPriceHistory, UserPnl
from pages import read
from usdm_desk import run, usdm_desk

FIRST_US = 1_000_000


def test_best_prices_match_the_true_books() -> None:
    """After every change of the book; the last change of an instant counts."""

    async def scenario() -> None:
        async with Box.in_lockstep("zero_intelligence", seed=5).open() as box:
            await box.advance(seconds=20)
            us, bid, ask = box.best.columns()
            assert len(us) > 20
            assert (np.diff(us) > 0).all()
            bids, asks = box.truth.book(box.truth.last_update_id)
            price = box.truth.instrument.price
            assert (price(int(bid[-1])), price(int(ask[-1]))) == (bids[0][0], asks[0][0])

    asyncio.run(scenario())


def test_best_prices_follow_added_and_removed_levels() -> None:
    """Against the best of two sets, with a side that empties."""
    random, best, levels = np.random.default_rng(1), BestPriceHistory(), {1: set(), -1: set()}
    expected = []
    for n in range(2_000):
        side = int(random.choice([1, -1]))
        ticks = 100 - side * int(random.integers(1, 8))
        lots = int(random.integers(0, 2))
        (levels[side].add if lots else levels[side].discard)(ticks)
        best.listen([(n, ROW_LEVEL, 0, 0, 0, side, ticks, lots, 0, n)])
        now = max(levels[1], default=0), min(levels[-1], default=0)
        if now != (expected[-1][1:] if expected else (0, 0)):
            expected.append((n, *now))
    assert np.stack(best.columns(), axis=1).tolist() == [list(row) for row in expected]


def test_pnl_is_cash_plus_inventory_at_mid() -> None:
    """A buy and a sell with fees in the received asset, computed in fractions."""
    fills = [
        Fill(1, 1, FIRST_US + 5, 1_000_000, 200, 1, True, 2_000),
        Fill(2, 2, FIRST_US + 9, 1_000_300, 100, -1, False, 900_000),
    ]
    us = np.array([FIRST_US, FIRST_US + 7], dtype=np.int64)
    result = UserPnl.of(fills, BTCUSDT, (us, np.array([np.nan, 10_001.0])))
    price, lot = Fraction(BTCUSDT.tick_e8, 10**8), Fraction(BTCUSDT.lot_e8, 10**8)
    bought, sold, fee = 200 * lot, 100 * lot, Fraction(2_000, 10**8)
    cash = -bought * 1_000_000 * price + sold * 1_000_300 * price - Fraction(900_000, 10**8)
    held = bought - fee - sold
    assert result.us.tolist() == [FIRST_US, FIRST_US + 5, FIRST_US + 7, FIRST_US + 9]
    assert result.inventory[-1] == pytest.approx(float(held))
    assert result.pnl[-1] == pytest.approx(float(cash + held * 10_001))
    assert result.pnl[0] == 0.0
    assert np.isnan(result.pnl[1])
    assert result.fees == pytest.approx(float(fee * 1_000_000 * price + Fraction(900_000, 10**8)))


async def trade(rest: httpx.AsyncClient, account: dict, now_ms: int) -> None:
    """Send a MARKET buy order of a user."""
    order = {"symbol": "SIMUSDT", "side": "BUY", "type": "MARKET", "quantity": "1", "timestamp": now_ms}
    query = urlencode(order)
    signature = hmac.new(account["secret"].encode(), query.encode(), "sha256").hexdigest()
    headers = {"X-MBX-APIKEY": account["api_key"]}
    answer = await rest.post("/api/v3/order", content=f"{query}&signature={signature}", headers=headers)
    assert answer.json()["status"] == "FILLED"


def test_page_shows_market_users_and_faults(chrome, tmp_path) -> None:
    """One call returns a page that draws: prices, users with fills, applied faults, and the parameters."""

    script = ["at time 2 do drop n=2", "at time 900 do close"]

    async def scenario() -> str:
        async with Box.in_lockstep("large_tick", seed=3, faults=script).open() as box:
            await box.advance(seconds=3)
            async with httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest:
                await trade(rest, box.ready()["accounts"][0], box.exchange.now_us // 1_000)
                await box.advance(seconds=2)
                answer = await rest.get("/sim/page")
                assert answer.headers["content-type"].startswith("text/html")
                return answer.text

    html = asyncio.run(scenario())
    words = " ".join(read(html).words)
    for part in ("large_tick", "at time 2 do drop n=2", "at time 900 do close", "alice", "bob", "applied", "pending"):
        assert part in words
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    opened = chrome.opened(path)
    assert (opened.errors, opened.requests) == ([], [])
    assert opened.charts == 1  # prices, PnL and inventory
    assert "Fills of alice" in words
    assert "Fills of bob" not in words


def test_the_page_of_a_contract_has_its_fees_in_the_quote_asset() -> None:
    """A buy of 1 at 100 leaves an inventory of 1, not of 1 less a fee."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.trade()
            page = (await desk.http.get("/sim/page")).text
            assert "fee, in the quote asset" in page
            fills = desk.box.exchange.users.fills(1)
            mid = np.array([0], dtype=np.int64), np.array([100.0])
            found = UserPnl.of(fills, desk.box.truth.instrument, mid, fees_in_quote=True)
            assert (found.inventory.tolist()[-1], found.fees) == (1.0, 0.02)

    run(case)
