"""What a gateway of a contract does by the clock: the exchange's countdown, position and margin, rows of a position."""

import asyncio
from dataclasses import replace
from itertools import pairwise

from gateway_rig import MemoryAudit, QuietLog, run_of
from played_api import PlayedApi

from mm.instrument import E8, Instrument
from mm.live.account.background import BackgroundTasks
from mm.live.account.fee_values import FeeValues
from mm.live.knobs import Contracts
from mm.live.orders import reports as reports_module
from mm.live.orders.contract_watch import ContractWatch
from mm.live.orders.reports import OrderListener, OrderReports
from mm.live.venues.binance_usdm import COUNTDOWN_MS, UsdmAccount, UsdmVenue
from mm.live.venues.positions import PositionSeen
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ExchangeClock
from virtual_loop import VirtualLoop

HELD = {"symbol": "SIMUSDT", "positionAmt": "2", "entryPrice": "100", "markPrice": "101", "liquidationPrice": "50"}
HELD |= {"unRealizedProfit": "2", "maintMargin": "1", "isolatedWallet": "0", "positionInitialMargin": "10"}
HELD |= {"updateTime": 1}
GRID = Instrument("SIMUSDT", E8 // 100, E8 // 1_000, 0, "SIM", "USDT")
MARGIN = {"totalWalletBalance": "7", "assets": [], "positions": []}


class Exchange:
    """A session whose exchange answers at once: to the countdown as told, else with a position; it keeps the times."""

    def __init__(self):
        self.asked, self.refuses = [], 0
        self.clock = ExchangeClock(lambda: round(1e6 * asyncio.get_running_loop().time()))
        self.limits = OrderLimits(None, lambda: asyncio.get_running_loop().time())
        self.venue = UsdmAccount()
        self.api = self.rest = self

    def request(self, route, parameters, done):
        played = PlayedApi()
        played.request(route, parameters, done)
        self.asked.append((route.name, asyncio.get_running_loop().time(), dict(parameters)))
        if route.name == "countdownCancelAll" and self.refuses:
            self.refuses -= 1
            played.answer(code=-1000, status=500)
        elif route.name == "countdownCancelAll":
            played.answer({"symbol": "SIMUSDT"})
        else:
            played.answer([HELD] if "position" in route.name else MARGIN)
        return 0

    def times(self, name):
        return [seconds for asked, seconds, _ in self.asked if name in asked]


class Told(OrderListener):
    def __init__(self):
        self.until_us, self.positions = [], []

    def countdown(self, until_us):
        self.until_us.append(until_us)

    def position(self, found):
        self.positions.append(found)


def watched(seconds, *, refuses=0, called_s=None, blocked=None, **contract):
    """Return the exchange and what was told while a watch ran for some time, and was ended.

    *blocked* is when the exchange blocks requests, and for how long.
    """

    async def main():
        exchange, told = Exchange(), Told()
        exchange.refuses = refuses
        reports = OrderReports(MemoryAudit(), FeeValues())
        reports.attach(told)
        tasks = BackgroundTasks(told.until_us.append)
        run = replace(run_of(), contract=Contracts(**contract))
        watch = ContractWatch(UsdmVenue("SIMUSDT"), exchange, run, reports, QuietLog())
        watch.begin(tasks, GRID)
        if blocked:
            asyncio.get_running_loop().call_later(blocked[0], exchange.limits.hold_off, blocked[1])
        if called_s:
            asyncio.get_running_loop().call_later(called_s, watch.margin_called)
        await asyncio.sleep(seconds)
        await tasks.end()
        await watch.end()
        return exchange, told

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def test_countdown_is_renewed_long_before_it_ends():
    """It is the last that cancels orders of a host that is gone: each renewal leaves time for two more."""
    exchange, told = watched(300)
    times = exchange.times("countdown")[:-1]
    span_s = COUNTDOWN_MS / 1_000
    assert len(times) >= 300 // span_s
    assert max(later - before for before, later in pairwise(times)) <= span_s / 3
    assert [until_us / 1e6 for until_us in told.until_us[:-1]] == [at_s + span_s for at_s in times]
    assert exchange.asked[-1][2]["countdownTime"] == told.until_us[-1] == 0


def test_refused_countdown_is_asked_for_again_within_a_moment():
    exchange, told = watched(10, refuses=3)
    assert exchange.times("countdown")[:4] == [0, 1, 2, 3]
    assert told.until_us[0] == 3_000_000 + COUNTDOWN_MS * 1_000


def test_position_and_margin_are_asked_for_again_and_again():
    """The limit on the margin ratio knows nothing else."""
    exchange, told = watched(61)
    assert len(exchange.times("position")) == len(told.positions) >= 30
    assert len(exchange.times("account.status")) >= 10


def test_margin_is_asked_for_with_each_position_where_there_is_a_limit_on_it():
    """A mark price that moves for seconds must not reach the liquidation between two looks."""
    exchange, _ = watched(61, max_margin_ratio="0.5")
    assert exchange.times("account.status") == exchange.times("position")


def test_margin_call_is_looked_into_at_once():
    exchange, _ = watched(7.9, called_s=3.3)
    assert exchange.times("account.status") == [0, 3.3, 5.3]
    assert exchange.times("position") == [0, 2, 3.3, 5.3, 7.3]


def test_nothing_is_asked_for_while_the_exchange_blocks_requests():
    """Neither position nor margin: a request in that time makes it longer. Both are asked for at its end."""
    exchange, _ = watched(61, blocked=(9.0, 30.0), max_margin_ratio="0.5")
    times = exchange.times("position")
    assert [at_s for at_s in times if 12.1 < at_s < 38.9] == []
    assert any(39 <= at_s < 43 for at_s in times)
    assert exchange.times("account.status") == times


def rows_of(seen, monkeypatch):
    """Return the times of the rows in the audit log, of positions that are seen at instants, in s."""
    audit, now_s, written = MemoryAudit(), [0.0], []
    monkeypatch.setattr(reports_module, "monotonic", lambda: now_s[0])
    reports = OrderReports(audit, FeeValues())
    for at_s, position in seen:
        now_s[0], before = float(at_s), len(audit.rows)
        reports.position(position)
        written += [at_s] * (len(audit.rows) - before)
    return written


def test_a_position_has_a_row_a_minute_while_only_its_mark_price_moves(monkeypatch):
    """So the log has how near a liquidation was, and does not grow by every look."""
    moving = [(at_s, PositionSeen(2 * E8, 100 * E8, (100 + at_s) * E8, us=at_s)) for at_s in range(0, 200, 2)]
    assert rows_of(moving, monkeypatch) == [0, 60, 120, 180]


def test_a_changed_position_has_a_row_at_once_and_none_has_no_more_rows(monkeypatch):
    held, flat = PositionSeen(2 * E8, 100 * E8, 100 * E8), PositionSeen(mark_e8=100 * E8)
    more = held._replace(qty_e8=3 * E8)
    seen = [(0, held), (2, more), (4, more), (6, flat), (8, flat), (300, flat._replace(mark_e8=7)), (302, more)]
    assert rows_of(seen, monkeypatch) == [0, 2, 6, 302]
