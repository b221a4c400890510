"""The run's description in its result: units of the journal's integers, models and data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mm.instrument import E8, decimal_text, short_text
from mm.markets.registry import DEFAULT

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.base.arrays import Floats, Ints
    from mm.instrument import Instrument
    from mm.trials.earlier_fills import EarlierFills
    from mm.trials.on_record import OnRecord

OWN_MARKET = "own_market"  # key of the own market's numbers, of strategies that also send orders to other markets
QUOTING_OWN_MARKET = "pnl_quoting_own_market"  # its quoting PnL, in rows
QUOTING_ALL_LEGS = "pnl_quoting_all_legs"  # of all legs, in rows of older versions
FEE_RATE = "0.001"  # default for makers and takers: Spot's
SPOT_FEES = "spot_fees"  # key of the warning that a perpetual is played with this fee
ASSUMED_FEES = "fees_assumed"  # key of the note that the market's usual fees were played, not those of the knobs
UNEARNED_FEE = "fee_not_earned"  # key of the warning that the quoted half-spread is below the maker fee
NO_NEXT_MOVE = "no_next_move"  # key of the warning that nothing is concluded from the PnL
NO_SENSITIVITY = "no sensitivity: "  # prefix of the note that says why
NO_BOUNDS = "no bounds: "
EXCLUDED = "excluded: "  # prefix of the note that a span of a day is in none of the numbers
IMPLAUSIBLE_FEE = "implausible_fee"  # key of the warning that no exchange has such a rate
DAYS_NOT_PLAYED = "days_not_played"  # key of the warning that days in the middle of a run were left out


class Bounded(Protocol):
    """The plays of a run's bounds: `mm.backtest.metrics.bounds.Bounds`, which imports this module."""

    def within(self, summary: Mapping[str, Any], record: "OnRecord | None") -> dict[str, Any]:
        """Return a summary with the bounds, judged by the least of the plays."""

    @property
    def block(self) -> dict[str, Any]:
        """The bounds, and the share that they leave open."""

    def minutes(self) -> dict[str, list[float]]:
        """Return the PnL per 60 s of each play."""


@dataclass(frozen=True)
class RunTerms:
    """Units of the journal's integers, and a description of models and data.

    Attributes:
        knows_next_move: Whether fills come with the price moves that cause them; if not, no verdict, interval or rank
            is drawn from the PnL.
        starts_us: Start of each day; empty if the days are reported as one.
        between_days_us: Total time between the end of a day's window and the start of the next.
        offsets: Distance of the mid from the intensity's reference price over the run
            (`mm.backtest.metrics.order_lives.mid_offsets`); None if that is the mid, or unknown.
        fit: Description of the run's fit or schedule: ``path`` (the file's name), ``status``, ``reason``, ``warnings``,
            ``A``, ``k``, ``min_delta_ticks``, ``max_delta_ticks``, ``lacks``, ``day``, and ``in_sample`` (whether it
            uses the played data or later data); None without one.
        bound_clips: Inventory at which quotes stop on one side, in clips; None if unknown.
        clock_raised: Number of messages whose receive time was raised, because the recorder's clock had stepped back.
        untraded: Share of the days' time in stretches without a trade longer than half a day's window; None if unknown.
        unvalued_fees: Commissions paid in assets without a known price, by asset; the journal's fees contain their
            largest value, and the summary gives no net result.
        target_funding: Instant, µs, and funding of the target inventory alone, 1e-8 of the quote asset, by payment.
        funding_doubts: Payments whose rate or mark price was not received at their time: instant, µs, whether it was
            paid at what was known around it, and why.
        others: Each other market that the strategy saw, by name: ``symbol``, ``days``, ``notes``, and
            ``feed_latency_ms`` if its events were placed by exchange time.
        feed: How the exchange's messages reach us: ``kind`` (`Rules.feed_kind`), ``why``, and ``median_ms`` after they
            happened; of a recorded feed also the 99th percentile and the offset of the clocks.
        market: Name of the market, as ``MARKET`` has it.
        bounds: The plays of the same quotes in front and at the back of every queue; None if they were not played.
        unbounded: Why they were not, though the fill model is a queue.
        fifo_consistency: Share of the executed lots of the order logs whose order was first in its queue; None unless
            the fill model plays them.
    """

    instrument: "Instrument"
    days: tuple[str, ...]
    quote_model: str
    fill_model: str
    initial_cash_e8: int
    quote_lots: int
    strategy: Mapping[str, Any] | None = None
    gammas: "Floats | None" = field(default=None, compare=False)
    seed: int = 0
    lost_lines: int = 0
    clock_raised: int = 0
    untraded: float | None = None
    funding_e8: int | None = None
    target_funding: tuple[tuple[int, int], ...] = ()
    funding_doubts: tuple[tuple[int, bool, str], ...] = ()
    spot_fees: tuple[str, ...] = ()
    implausible_fees: Mapping[str, int] = field(default_factory=dict)
    maker_fees_e8: tuple[int, int] = (0, 0)
    knows_next_move: bool = True
    others: Mapping[str, Mapping[str, Any]] | None = None
    feed: Mapping[str, Any] | None = None
    day_notes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    model_notes: tuple[str, ...] = ()
    pnl_band: Mapping[str, float] | None = None
    bound_clips: float | None = None
    sensitivity: Mapping[str, Any] | None = None
    played_once: str | None = None
    bounds: "Bounded | None" = field(default=None, compare=False)
    unbounded: str | None = None
    starts_us: tuple[int, ...] = ()
    days_a_year: int = 365
    between_days_us: int = 0
    intensity: "Intensity | None" = None
    offsets: "Ints | None" = field(default=None, compare=False)
    fit: Mapping[str, Any] | None = None
    earlier: "tuple[EarlierFills, ...]" = field(default=(), compare=False)
    fill_bias: str | None = None
    target_lots: int = 0
    ended: Mapping[str, Any] | None = None
    unvalued_fees: Mapping[str, str] = field(default_factory=dict)
    predictors: tuple[Mapping[str, Any], ...] = ()
    agent_days: tuple[str, ...] = ()
    trials: "OnRecord | None" = field(default=None, compare=False)
    fifo_consistency: float | None = None
    margin: Mapping[str, Any] | None = None
    market: str = DEFAULT.name
    liquidated_us: int | None = None

    @property
    def outearned(self) -> bool:
        rows = [row for row in (self.sensitivity or {}).get("rows", ()) if row["latency"] == 1]
        pnl = {row["role"] == "headline": row["pnl_quoting"] for row in rows}
        own, known = pnl.get(True), [row["pnl_quoting"] for row in rows if row["pnl_quoting"] is not None]
        return own is not None and max(known) > own


def break_even_ticks(fees_e8: tuple[int, int], mid_ticks: float, tick_e8: int, multiplier: int) -> float:
    """Distance from the mid at which a fill earns its maker fee, ticks."""
    rate_e8, unit_e8 = fees_e8
    return rate_e8 / E8 * mid_ticks + unit_e8 / (tick_e8 * multiplier)


def fraction_of(knob: str, rate_e8: int) -> str:
    """How to correct a fee rate that was probably meant as a percentage."""
    fraction = decimal_text(rate_e8, 10).rstrip("0")
    return (
        f"rates are fractions of the notional (0.001 is 0.1 %): set {knob}={fraction} for {short_text(abs(rate_e8))} %"
        f"{' of rebate' if rate_e8 < 0 else ''}"
    )


def of_all_legs(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    return summary.get("all_legs") or summary


def own_market_of(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return summary.get(OWN_MARKET) or (summary if summary.get("all_legs") else None)


def has_other_part(summary: Mapping[str, Any]) -> bool:
    """Parts of older runs with several legs are of the own market alone."""
    own = own_market_of(summary)
    return own is not None and "fees" not in own


def concludes(summary: Mapping[str, Any]) -> bool:
    """Whether the PnL is evidence: its fills know the next move, and no liquidation ended the run."""
    return summary.get("knows_next_move") is not False and not summary.get("liquidated_at")


def quoting_of(numbers: Mapping[str, Any]) -> float | None:
    """Return the PnL of the quoting from a summary, or a row of a sweep, evaluation or sensitivity."""
    numbers = of_all_legs(numbers)
    pnl: float | None = numbers.get(QUOTING_ALL_LEGS, numbers.get("pnl_quoting", numbers.get("pnl_total")))
    return pnl
