"""The metrics of a contract: position, margin, payments, the exchange's countdown and own actions."""

from collections import Counter
from collections.abc import Sequence

from mm.clock import US_PER_S
from mm.instrument import E8, decimal_text
from mm.live.venues.positions import MarginSeen, PositionSeen, RuleSeen
from mm.market_data.metrics import FilledFamily, MetricFamily

ENTRY = MetricFamily("mm_position_entry_price", "gauge", "Mean price at which the position was opened.")
MARK = MetricFamily("mm_position_mark_price", "gauge", "Mark price of the position.")
LIQUIDATION = MetricFamily(
    "mm_position_liquidation_price", "gauge", "Mark price at which the position is liquidated; none without one."
)
AT_MARK = MetricFamily("mm_position_unrealized", "gauge", "Profit of closing the position at the mark price.")
MARGIN = MetricFamily("mm_margin_equity", "gauge", "Wallet and unrealized profit of all positions at the mark price.")
MAINTENANCE = MetricFamily("mm_margin_maintenance", "gauge", "Maintenance margin of all positions.")
RATIO = MetricFamily("mm_margin_ratio", "gauge", "Maintenance margin over equity: at 1 positions are liquidated.")
PAID = MetricFamily(
    "mm_funding", "gauge", "Funding and other payments since the start of the ledger; below 0 they cost."
)
PAID_AT = MetricFamily("mm_funding_timestamp_seconds", "gauge", "When the last payment was due; none without one.")
CALLS = MetricFamily("mm_margin_calls_total", "counter", "Margin calls of the exchange.")
FORCED = MetricFamily(
    "mm_forced_closes_total", "counter", "Orders by which the exchange has closed our position.", ("what",)
)
COUNTDOWN = MetricFamily(
    "mm_countdown_timestamp_seconds",
    "gauge",
    "When the exchange cancels all orders unless it is asked again, Unix time; 0: it was ended.",
)
RULE = MetricFamily(
    "mm_trading_rule_ratio",
    "gauge",
    "Value of the exchange's trading rule over what breaks it; only those that it takes note of.",
    ("rule", "of"),
)
RULE_UNTIL = MetricFamily(
    "mm_trading_rule_until_timestamp_seconds",
    "gauge",
    "Until when only orders that reduce are accepted, since a trading rule was broken, Unix time; none otherwise.",
)
STOP = MetricFamily(
    "mm_protective_stop_price",
    "gauge",
    "Trigger price of the stop that rests for the position; 0: a position without one; none without either.",
)
FORCES = ("liquidation", "auto-deleveraging", "settlement", "protective stop")


class ContractMetrics:
    """The metrics of one contract, set by the observer that follows it.

    Attributes:
        stop_e8: Trigger price of the protective stop, 1e-8; 0: a position without one; None: none is needed.
        countdown_us: When the exchange cancels all orders, µs; 0 if it does not; None before the first request.
    """

    def __init__(self) -> None:
        self.position: PositionSeen | None = None
        self.margin: MarginSeen | None = None
        self.paid_e8 = self.paid_us = self.margin_calls = 0
        self.forced = Counter(dict.fromkeys(FORCES, 0))
        self.countdown_us: int | None = None
        self.rules: Sequence[RuleSeen] = ()
        self.stop_e8: int | None = None

    @property
    def ratio(self) -> float | None:
        margin = self.margin
        if margin is None:
            return None
        if not margin.maintenance_e8:
            return 0.0
        return margin.maintenance_e8 / margin.equity_e8 if margin.equity_e8 > 0 else float("inf")

    def filled(self) -> list[FilledFamily]:
        found, margin, ratio = self.position, self.margin, self.ratio
        held = found if found is not None and found.qty_e8 else None
        liquidation_e8 = held.liquidation_e8 if held else 0
        until_us = max((one.until_us for one in self.rules), default=0)
        return [
            (ENTRY, [("", {}, decimal_text(held.entry_e8))] if held else []),
            (MARK, [("", {}, decimal_text(held.mark_e8))] if held else []),
            (LIQUIDATION, [("", {}, decimal_text(liquidation_e8))] if liquidation_e8 else []),
            (AT_MARK, [("", {}, decimal_text(found.unrealized_e8))] if found else []),
            (MARGIN, [("", {}, decimal_text(margin.equity_e8))] if margin else []),
            (MAINTENANCE, [("", {}, decimal_text(margin.maintenance_e8))] if margin else []),
            (RATIO, [] if ratio is None else [("", {}, ratio)]),
            (PAID, [("", {}, decimal_text(self.paid_e8))]),
            (PAID_AT, [("", {}, self.paid_us / US_PER_S)] if self.paid_us else []),
            (RULE, [("", {"rule": one.name, "of": one.whose}, one.share) for one in self.rules]),
            (RULE_UNTIL, [("", {}, until_us / US_PER_S)] if until_us else []),
            (STOP, [] if self.stop_e8 is None else [("", {}, decimal_text(self.stop_e8))]),
            (CALLS, [("", {}, self.margin_calls)]),
            (FORCED, [("", {"what": what}, count) for what, count in self.forced.items()]),
            (COUNTDOWN, [] if self.countdown_us is None else [("", {}, self.countdown_us / US_PER_S)]),
        ]

    def health(self) -> dict[str, object]:
        found, margin = self.position, self.margin
        shown: dict[str, object] = {"funding": decimal_text(self.paid_e8), "margin_calls": self.margin_calls}
        if found is not None:
            shown["position"] = {
                "qty": decimal_text(found.qty_e8),
                "entry_price": decimal_text(found.entry_e8),
                "mark_price": decimal_text(found.mark_e8),
                "unrealized": decimal_text(found.unrealized_e8),
                "liquidation_price": decimal_text(found.liquidation_e8) if found.liquidation_e8 else None,
            }
        if margin is not None:
            shown["margin"] = {
                "equity": decimal_text(margin.equity_e8),
                "maintenance": decimal_text(margin.maintenance_e8),
                "available": decimal_text(margin.available_e8),
            }
        if self.rules:
            shown["trading_rules"] = [
                {"rule": one.name, "of": one.whose, "value": one.value, "breaks_at": one.trigger}
                | ({"until": one.until_us / US_PER_S} if one.until_us else {})
                for one in self.rules
            ]
        if self.stop_e8 is not None:
            shown["protective_stop"] = decimal_text(self.stop_e8) if self.stop_e8 else None
        if self.countdown_us is not None:
            shown["countdown_until"] = self.countdown_us / US_PER_S
        return shown

    def at_mark_e8(self, position_e8: int, mid_e8: int) -> int:
        mark_e8 = self.position.mark_e8 if self.position else 0
        return position_e8 * (mark_e8 - mid_e8) // E8 if mark_e8 else 0
