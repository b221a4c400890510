"""The metrics of a shadow and of a trader, for Prometheus; text is made only when the page is read."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from mm.clock import US_PER_S, now_us
from mm.instrument import decimal_text
from mm.live.pages.contract_metrics import ContractMetrics
from mm.market_data.metrics import FilledFamily, MetricFamily, MetricSample, market_families

POSITION = MetricFamily("mm_position", "gauge", "INITIAL_INVENTORY plus our own fills, in the base asset.")
PNL = MetricFamily("mm_pnl", "gauge", "PnL since the start of the ledger, by part, in the quote asset.", ("part",))
PNL_ALL_LEGS = MetricFamily(
    "mm_pnl_all_legs", "gauge", "Total PnL of a symbol and of its strategy's legs in other markets, in the quote asset."
)
ACCOUNT_AGE = MetricFamily(
    "mm_account_age_seconds", "gauge", "Time since the exchange last reported the account of a trade."
)
EQUITY = MetricFamily("mm_equity", "gauge", "Value of the account, in the quote asset.")
DISTANCE = MetricFamily(
    "mm_quote_distance_ticks",
    "gauge",
    "From the mid to our best quote, by side; no sample without one, or while it cannot be managed.",
    ("side",),
)
NOT_QUOTING = MetricFamily(
    "mm_not_quoting", "gauge", "1 while nothing is quoted, with the reason, in which times are left out.", ("reason",)
)
UNMANAGED = MetricFamily(
    "mm_unmanaged_orders",
    "gauge",
    "Orders of a trade that may rest at the exchange while requests about them are not answered, or refused.",
)
TWO_SIDED = MetricFamily("mm_two_sided_seconds_total", "counter", "Time with open orders on both sides.")
ORDERS = MetricFamily("mm_orders_total", "counter", "Requests sent, by action.", ("action",))
FILLS = MetricFamily("mm_fills_total", "counter", "Executions of our orders, by side.", ("side",))
REJECTS = MetricFamily("mm_rejects_total", "counter", "Orders refused, by us or by the exchange.", ("reason",))
ACK = MetricFamily("mm_order_ack_seconds", "histogram", "From sending a request to its acknowledgement.")
ACK_FILL = MetricFamily("mm_ack_fill_seconds", "histogram", "From an order's acknowledgement to its first fill.")
UNVALUED = MetricFamily(
    "mm_unvalued_fees",
    "gauge",
    "Commissions in an asset without a known price, in that asset; with one, mm_equity and the parts fees and total of "
    "mm_pnl are left out.",
    ("asset",),
)
FEE_RATE = MetricFamily(
    "mm_fee_rate",
    "gauge",
    "Commission rate of the account, a share of the notional, by role; below 0 a rebate.",
    ("role",),
)
TRANSFERS = MetricFamily(
    "mm_account_transfers",
    "gauge",
    "Deposits less withdrawals of the symbol's assets since the start of the ledger, in the asset.",
    ("asset",),
)
TRANSFERRED = MetricFamily(
    "mm_account_transfer_timestamp_seconds", "gauge", "When the last transfer was booked, Unix time; none without one."
)
LATE = MetricFamily(
    "mm_market_late_seconds", "gauge", "How late the last message of the book was by the exchange's clock, at most."
)
UNCERTAIN = MetricFamily(
    "mm_clock_uncertainty_seconds", "gauge", "Largest error of the measured offset of our clock from the exchange's."
)
UNJUDGED = MetricFamily(
    "mm_limits_unjudged", "gauge", "1 while a trade has no mid by which limits on money are judged."
)
RISK_USED = MetricFamily("mm_risk_used_ratio", "gauge", "Used share of a limit; 1 is all of it.", ("limit",))
KILLED = MetricFamily("mm_killed", "gauge", "1 while the kill switch is triggered.")
WRITER_QUEUE = MetricFamily("mm_state_writer_queue", "gauge", "Rows waiting for the state store.")
WRITER_LAG = MetricFamily("mm_state_writer_lag_seconds", "gauge", "Age of the oldest waiting row.")

_TIME, _MOST_REASON = re.compile(r"\d+(\.\d+)? s\b"), 160
ACTIONS, SIDES = ("place", "cancel", "replace"), {+1: "buy", -1: "sell"}
PARTS = ("realized", "unrealized", "fees", "total")
ACK_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ACK_FILL_BUCKETS_S = (0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class BucketCounts:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.count = 0
        self.sum_s = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.count += 1
        self.sum_s += seconds

    def quantile(self, share: float) -> float | None:
        """Interpolate as Prometheus does, in s."""
        wanted, before, below_s = share * self.count, 0, 0.0
        for bound_s, count in zip(self.bounds, self._counts, strict=False):
            if count and before + count >= wanted:
                return below_s + (bound_s - below_s) * (wanted - before) / count
            before, below_s = before + count, bound_s
        return below_s if self.count else None  # beyond the last bound it is that bound

    def samples(self) -> list[MetricSample]:
        names = [*map(repr, self.bounds), "+Inf"]
        counts = zip(names, accumulate(self._counts), strict=True)
        buckets: list[MetricSample] = [("_bucket", {"le": name}, count) for name, count in counts]
        return [*buckets, ("_sum", {}, self.sum_s), ("_count", {}, self.count)]


class TradingMetrics:
    """The metrics of one symbol, set by the observer that follows it; None is unknown, and not shown.

    Attributes:
        book_us: Instant of the last update of a synced book, less how late it was, µs; out of sync its age increases.
        late_us: How late the last message of the book was by the exchange's clock, µs.
        distances: Distance of our best quote from the mid in ticks, by side: +1 buy, -1 sell; set by `quotes`.
        unmanaged: Counts a trade's orders that may rest while they cannot be managed; None for a shadow.
        unjudged: Whether a trade has no mid by which limits on money are judged; None for a shadow.
    """

    def __init__(self, symbol: str, clock: Callable[[], int] = now_us) -> None:
        self.symbol = symbol
        self.why_not_ready = "starting"
        self.legs: Sequence[TradingMetrics] = ()
        self.book_us: int | None = None
        self.late_us: int | None = None
        self.clock_within_us: int | None = None
        self.account_us: int | None = None
        self.gaps = 0
        self.messages: Mapping[str, int] = {}
        self.position_e8: int | None = None
        self.equity_e8: int | None = None
        self.pnl_e8: Mapping[str, int] = {}
        self.unvalued_e8: Mapping[str, int] = {}
        self.fees_e8: tuple[int, int] | None = None
        self.orders, self.rejects = Counter(dict.fromkeys(ACTIONS, 0)), Counter[str]()
        self.fills = Counter(dict.fromkeys(SIDES, 0))
        self.ack, self.ack_fill = BucketCounts(ACK_BUCKETS_S), BucketCounts(ACK_FILL_BUCKETS_S)
        self.used: dict[str, float] = {}
        self.killed = False
        self.unjudged: bool | None = None
        self.unmanaged: Callable[[], int] | None = None
        self.transfers_e8: Mapping[str, int] = {}
        self.transferred_us: int | None = None
        self.writer: tuple[int, float] | None = None
        self.contract: ContractMetrics | None = None
        self._clock, self._began_us = clock, clock()
        self.distances: dict[int, float] = {}
        self._two_sided_us = 0
        self._two_sided_since_us: int | None = None

    def quotes(self, us: int, buy_ticks: float | None, sell_ticks: float | None) -> None:
        """Set the quotes from *us* on; None for a side without one."""
        given = {+1: buy_ticks, -1: sell_ticks}
        self.distances = {side: ticks for side, ticks in given.items() if ticks is not None}
        if self._two_sided_since_us is not None:
            self._two_sided_us += max(0, us - self._two_sided_since_us)
        self._two_sided_since_us = us if len(self.distances) == len(given) else None

    # pages

    def filled(self) -> list[FilledFamily]:
        at_us = self._clock()
        age_s, account_age_s = (
            None if us is None else max(0, at_us - us) / US_PER_S for us in (self.book_us, self.account_us)
        )
        own: dict[MetricFamily, list[MetricSample]] = {
            POSITION: _money(self.position_e8),
            PNL: [("", {"part": part}, decimal_text(value)) for part, value in self.known_pnl_e8().items()],
            PNL_ALL_LEGS: _money(self.pnl_all_legs_e8()) if self.legs else [],
            EQUITY: [] if self.unvalued_e8 else _money(self.equity_e8),
            ACCOUNT_AGE: [] if account_age_s is None else [("", {}, account_age_s)],
            UNVALUED: [("", {"asset": asset}, decimal_text(paid)) for asset, paid in sorted(self.unvalued_e8.items())],
            FEE_RATE: [
                ("", {"role": role}, decimal_text(rate))
                for role, rate in zip(("maker", "taker"), self.fees_e8 or (), strict=False)
            ],
            DISTANCE: [("", {"side": SIDES[side]}, float(ticks)) for side, ticks in self.distances.items()],
            NOT_QUOTING: [("", {"reason": _lasting(why)}, 1)] if (why := self.why_not_quoting) else [],
            UNMANAGED: [("", {}, self.unmanaged())] if self.unmanaged else [],
            TWO_SIDED: [("", {}, self.two_sided_s(at_us))],
            ORDERS: [("", {"action": action}, count) for action, count in self.orders.items()],
            FILLS: [("", {"side": name}, self.fills[side]) for side, name in SIDES.items()],
            REJECTS: [("", {"reason": reason}, count) for reason, count in sorted(self.rejects.items())],
            ACK: self.ack.samples(),
            ACK_FILL: self.ack_fill.samples(),
            RISK_USED: [("", {"limit": limit}, float(share)) for limit, share in sorted(self.used.items())],
            KILLED: [("", {}, self.killed)],
            LATE: [] if self.late_us is None else [("", {}, self.late_us / US_PER_S)],
            UNCERTAIN: [] if self.clock_within_us is None else [("", {}, self.clock_within_us / US_PER_S)],
            UNJUDGED: [] if self.unjudged is None else [("", {}, self.unjudged)],
            TRANSFERRED: [] if self.transferred_us is None else [("", {}, self.transferred_us / US_PER_S)],
            TRANSFERS: [("", {"asset": name}, decimal_text(e8)) for name, e8 in sorted(self.transfers_e8.items())],
            WRITER_QUEUE: [("", {}, self.writer[0])] if self.writer else [],
            WRITER_LAG: [("", {}, float(self.writer[1]))] if self.writer else [],
        }
        contract = self.contract.filled() if self.contract else []
        return [*market_families(age_s, self.gaps, self.messages), *own.items(), *contract]

    @property
    def why_not_quoting(self) -> str:
        return "the kill switch is triggered" if self.killed else self.why_not_ready

    def known_pnl_e8(self) -> dict[str, int]:
        parts = PARTS[:2] if self.unvalued_e8 else PARTS
        return {part: self.pnl_e8[part] for part in parts if part in self.pnl_e8}

    def pnl_all_legs_e8(self) -> int | None:
        each = (self, *self.legs)
        if any("total" not in one.pnl_e8 or one.unvalued_e8 for one in each):
            return None
        return sum(one.pnl_e8["total"] for one in each)

    def health(self) -> dict[str, object]:
        """Return whether it quotes, else why not, and the share of time on both sides."""
        why, at_us = self.why_not_quoting, self._clock()
        running_s, two_sided_s = (at_us - self._began_us) / US_PER_S, self.two_sided_s(at_us)
        share = round(two_sided_s / running_s, 6) if running_s > 0 else None
        times = {"running_s": running_s, "two_sided_s": two_sided_s, "two_sided_uptime": share}
        total_e8 = self.pnl_all_legs_e8()
        more: dict[str, object] = {"limits_judged": not self.unjudged} if self.unjudged is not None else {}
        if self.unmanaged:
            more["unmanaged_orders"] = self.unmanaged()
        if self.transfers_e8:
            more["transfers"] = {asset: decimal_text(moved) for asset, moved in sorted(self.transfers_e8.items())}
        if self.contract:
            more["contract"] = self.contract.health()
        if self.legs:
            more["pnl_all_legs"] = None if total_e8 is None else decimal_text(total_e8)
        return {"ready": not why, "why": why, **times, **more}

    def two_sided_s(self, at_us: int) -> float:
        since_us = self._two_sided_since_us
        running_us = 0 if since_us is None else max(0, at_us - since_us)
        return (self._two_sided_us + running_us) / US_PER_S


def _lasting(why: str) -> str:
    return _TIME.sub("… s", why)[:_MOST_REASON]


def _money(value_e8: int | None) -> list[MetricSample]:
    return [] if value_e8 is None else [("", {}, decimal_text(value_e8))]
