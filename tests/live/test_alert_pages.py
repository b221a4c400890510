"""Each deployed alert on the pages of its scenario: silent on those of a calm hour, firing on those of the trouble."""

from collections.abc import Callable
from typing import Any

import pytest

from mm.clock import US_PER_S
from mm.live.account.kill_switch import Kill
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.symbols_page import SymbolsPage
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.pages.watchdog import RunEnd, WatchdogLook, WatchedSymbol
from mm.live.venues.positions import MarginSeen, PositionSeen, RuleSeen
from mm.market_data.health import HealthReport
from mm.market_data.metrics import DOOR_FAMILIES, exposition
from mm.market_data.monitor import page
from promql import Alerts, Samples
from support import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; it comes with the extra cluster")
DEPLOY = ROOT / "mm" / "ops" / "deploy"
RULES = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
NAMES = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
SCRAPE_S, CALM_S, TROUBLED_S = 5, 30, 900
BEGIN_S = 1_000_000


class World:
    """A trader, a watchdog, a recorder and their pages, second by second.

    Attributes:
        watched: What the watchdog sees of the symbol.
        silent: Jobs without a page.
        frozen: Jobs whose page does not change.
    """

    def __init__(self) -> None:
        self.now_s = BEGIN_S
        self.trader = TradingMetrics("SIMUSDT", lambda: self.now_s * US_PER_S)
        self.trader.contract = ContractMetrics()
        self.trader.why_not_ready = ""
        self.trader.killed, self.trader.unjudged, self.trader.unmanaged = False, False, lambda: 0
        self.contract = self.trader.contract
        self.contract.margin = MarginSeen(1_000, 100, 900)
        self.contract.position = PositionSeen(qty_e8=5)
        self.contract.stop_e8 = 100
        self.watched: dict[str, Any] = {"kill": None, "running": frozenset(("trade",)), "ends": {}, "orders_left": ()}
        self.watched |= {"report_age_s": 1.0, "offset_us": 0}
        self.report: dict[str, Any] = {"free_mb": 50_000.0, "offset_us": 0}
        self.unreadable, self.free_bytes = (), 50_000_000_000
        self.silent = set[str]()
        self.frozen = set[str]()
        self.expires_s = float(BEGIN_S + 40 * 86_400)
        self.refused = 0
        self.quoted = self.booked = self.reported = self.renewed = True
        self.looked_s = self.now_s

    def second(self) -> None:
        """Let a second pass in which nothing is amiss but what a scenario has changed."""
        self.now_s += 1
        us, metrics = self.now_s * US_PER_S, self.trader
        metrics.book_us = us if self.booked else metrics.book_us
        metrics.account_us = us if self.reported else metrics.account_us
        metrics.quotes(us, *((2.0, 2.0) if self.quoted else (None, None)))
        metrics.orders["place"] += 3
        metrics.ack.observe(0.02)
        if self.renewed:
            self.contract.countdown_us = us + 60 * US_PER_S
        if "watchdog" not in self.frozen:
            self.looked_s = self.now_s

    def pages(self) -> dict[str, str]:
        watched = WatchedSymbol(symbol="SIMUSDT", **self.watched)
        look = WatchdogLook(self.looked_s * US_PER_S, (watched,), self.unreadable, {"out": self.free_bytes})
        report = HealthReport(
            "SIMUSDT", "R", 1, "h", "synced", self.now_s * US_PER_S, 2.0, path="x", lag_s=1.0, book_age_s=0.1,
            **self.report,
        )  # fmt: skip
        refused, expiry = DOOR_FAMILIES
        door = [(refused, [("", {"reason": "token"}, self.refused)]), (expiry, [("", {}, self.expires_s)])]
        shown = {
            "trader": SymbolsPage([self.trader]).page() + exposition("", door),
            "watchdog": look.page(),
            "recorder": page(report),
        }
        return {job: text for job, text in shown.items() if job not in self.silent}


def each_second(change: Callable[[World], object]) -> Callable[[World], object]:
    """Return a trouble that goes on."""
    change.goes_on = True  # type: ignore[attr-defined]
    return change


def put(holder: str, **values: Any) -> Callable[[World], object]:
    """Return a trouble that sets attributes, or members, of a part of the world."""

    def change(world: World) -> None:
        found = world if holder == "world" else getattr(world, holder)
        for name, value in values.items():
            if isinstance(found, dict):
                found[name] = value
            else:
                setattr(found, name, value)

    return change


def used(limit: str) -> Callable[[World], object]:
    return lambda world: world.trader.used.__setitem__(limit, 0.95)


def counted(counter: str, key: str) -> Callable[[World], object]:
    return each_second(lambda world: getattr(world.trader, counter).update([key]))


TROUBLES: dict[str, Callable[[World], object]] = {
    "StaleFeed": put("world", booked=False),
    "StaleTarget": lambda world: world.silent.add("trader"),
    "GapsInFeed": each_second(lambda world: setattr(world.trader, "gaps", world.trader.gaps + 1)),
    "RecorderWithoutBook": put("report", unsynced_s=61.0),
    "SnapshotsRefused": put("report", refusals=5),
    "QuarantineGrows": put("report", quarantined_lately=10),
    "KillSwitchThrown": put("watched", kill=Kill("odd", 1)),
    "DrawdownNearLimit": used("MAX_DRAWDOWN"),
    "DailyLossNearLimit": used("MAX_DAILY_LOSS"),
    "LimitsNotJudged": put("trader", unjudged=True),
    "AccountTransferred": each_second(lambda world: setattr(world.trader, "transferred_us", world.now_s * US_PER_S)),
    "PositionForced": each_second(lambda world: world.contract.forced.update(["liquidation"])),
    "MarginCalled": put("contract", margin=MarginSeen(1_000, 810, 190)),
    "PositionUnprotected": put("contract", stop_e8=0),
    "TradingRuleNear": put("contract", rules=(RuleSeen("UFR", "account", 0.95, 1.0, 0),)),
    "CountdownNotRenewed": put("world", renewed=False),
    "FundingPaid": each_second(lambda world: setattr(world.contract, "paid_us", world.now_s * US_PER_S)),
    "PositionNearLimit": used("MAX_POSITION"),
    "OrdersUnmanaged": put("trader", unmanaged=lambda: 2),
    "StaleAccount": put("world", reported=False),
    "OrdersLeftOpen": put("watched", orders_left=("mm-a", "mm-b"), running=frozenset()),
    "TraderEndedUnexpectedly": put(
        "watched", ends={"trade": RunEnd("R", BEGIN_S * US_PER_S, -1, "died")}, running=frozenset()
    ),
    "NotQuoting": put("world", quoted=False),
    "WatchdogSilent": lambda world: world.frozen.add("watchdog"),
    "WatchdogCannotRead": put("world", unreadable=("out/audit: no",)),
    "DiskNearlyFull": put("world", free_bytes=900_000_000),
    "ClockOff": put("watched", offset_us=-300_000),
    "ClockUncertain": put("trader", clock_within_us=300_000),
    "MarketLate": put("trader", late_us=1_500_000),
    "StrangersAtTheDoor": each_second(lambda world: setattr(world, "refused", world.refused + 1)),
    "CertificateExpires": put("world", expires_s=float(BEGIN_S + 6 * 86_400)),
    "RejectsMany": counted("rejects", "-2010"),
    "RejectsByLimit": counted("rejects", "MAX_POSITION"),
    "SlowAcknowledgement": each_second(lambda world: world.trader.ack.observe(2.0)),
    "StateWriterBehind": put("trader", writer=(20_000, 15.0)),
}
WITHIN_S = {"OrdersUnmanaged": 20, "KillSwitchThrown": 6}
"""From the page that shows it to the alert, in s, where the documents promise a time."""


@pytest.mark.parametrize("name", sorted({*NAMES} - {"AlertingAlive"}))
def test_each_alert_is_silent_on_calm_pages_and_fires_on_those_of_its_scenario(name: str) -> None:
    """The expression of a rule and the pages' names, labels and values belong together, or nobody is called."""
    world, samples = World(), Samples()
    alerts, trouble = Alerts(RULES, samples), TROUBLES[name]
    begun_s, fired_s = 0, 0
    while world.now_s < BEGIN_S + TROUBLED_S + CALM_S and not fired_s:
        world.second()
        if world.now_s >= BEGIN_S + CALM_S and (not begun_s or getattr(trouble, "goes_on", False)):
            trouble(world)
            begun_s = begun_s or world.now_s
        pages = world.pages()
        for job in ("trader", "watchdog", "recorder"):
            if world.now_s % (1 if job == "watchdog" else SCRAPE_S) == 0:
                target = {"job": job, "instance": f"{job}:8000"}
                samples.scrape(world.now_s, f"up {int(job in pages)}\n{pages.get(job, '')}", **target)
        alerts.evaluate(world.now_s)
        firing = {one for one in NAMES if alerts.firing(one)} - {"AlertingAlive"}
        if not begun_s:
            assert firing == set()
        fired_s = world.now_s if name in firing else 0
        assert firing <= {name}
    assert fired_s
    assert fired_s - begun_s <= WITHIN_S.get(name, TROUBLED_S)


def test_each_alert_has_a_scenario() -> None:
    assert {*NAMES} == {*TROUBLES, "AlertingAlive"}


@pytest.mark.parametrize(("ends", "away_s", "pages"), [(1, 30, False), (1, 70, True), (2, 30, False), (3, 10, True)])
def test_trader_that_comes_back_within_a_minute_pages_at_its_third_end_alone(
    ends: int, away_s: int, pages: bool
) -> None:
    """75 is mended by a supervisor, for which nobody is woken."""
    world, samples = World(), Samples()
    alerts, fired = Alerts(RULES, samples), False
    for _ in range(CALM_S + 120):
        world.second()
        gone_s = world.now_s - BEGIN_S - CALM_S
        if gone_s >= 0:
            end = RunEnd("R", (BEGIN_S + CALM_S) * US_PER_S, 75, "grid")
            running = frozenset[str]() if gone_s < away_s else frozenset(("trade",))
            world.watched |= {"ends": {"trade": end}, "running": running, "failed_lately": {"trade": ends}}
        samples.scrape(world.now_s, world.pages()["watchdog"], job="watchdog", instance="watchdog:8000")
        alerts.evaluate(world.now_s)
        fired = fired or bool(alerts.firing("TraderEndedUnexpectedly"))
    assert fired is pages
