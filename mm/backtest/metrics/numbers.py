"""Every number of ``summary.json``: its type, its unit, its meaning, and why it can be undefined."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from msgspec import UnsetType

from mm.backtest.metrics.summary_number import NUMBER, Member, Number, given, number, sometimes

QUOTE, BASE, UNIT, SHARE, RATIO, SECONDS = "quote", "base", "quote per base", "share", "ratio", "s"
COUNT, TICKS, RATE, GAMMA = "count", "ticks", "1/s", "1/(tick·clip)"

_NEVER_VALID = "the book was never valid"
_NOT_UNDONE = "the verdict is not above 0, or no such loss is thinkable"
_NO_VARIATION = "fewer than two 60 s periods with a market, or all equal"
_FEW_FILLS = "such fills in fewer than five effective blocks, or fewer than 20 of them"
_NO_FILL_LATER = "no fill with a valid mid that long after it"
_NO_TIME = "no time passed with a market"
_NOT_KNOWING = "or fills that do not know the next move"
_NOTHING_RESTED = "no order rested on a valid book"
_FEW_BLOCKS = "fewer than two blocks of five minutes with fills or time at rest"
_NO_ENDS = f"no fill was predicted, or {_FEW_BLOCKS}"
_NOT_SENT = "no fills of an order that was sent in this run"
_TIMES = "`n`, `mean`, `p50`, `p99`, `p999`, `max`, `histogram` (upper edge, count)"


Values = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

_ITSELF = ("*",)
PROFIT, RISK = "Profit", "Risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The keys of ``summary.json``, of a run, an account, or a point of a sweep, in the order in which they are read.

    Page, terminal, tear sheet and documentation show them in this order. In the files the order is that of the
    computation, which differs between the kinds: a point has its ``volume`` among the orders, a run near the end.
    """

    symbol: str = number(leg=1)
    one_account: bool | UnsetType = sometimes()
    days: Sequence[str] = number()
    models: Mapping[str, str] = number()
    pnl_quoting: float | None = number(
        QUOTE,
        "what the quotes earned: `pnl_spread_capture + pnl_inventory − fees`",
        null=_NEVER_VALID,
        group=PROFIT,
        line="PnL of quoting",
        compared=_ITSELF,
        net=True,
        leg=7,
    )
    pnl_spread_capture: float | None = number(
        QUOTE, "Σ s·q·(m − p)", null=_NEVER_VALID, group=PROFIT, line="  spread capture", compared=_ITSELF, part=True
    )
    pnl_inventory: float | None = number(
        QUOTE,
        "Σ (q − q*)·Δm, less funding on q − q*",
        null=_NEVER_VALID,
        group=PROFIT,
        line="  inventory",
        compared=_ITSELF,
        part=True,
    )
    funding: float | UnsetType | None = sometimes(
        QUOTE,
        "of a perpetual: what was paid on the position; part of the PnL of inventory and hold",
        null="a payment on a position was due for which the day has neither rate nor mark price",
        line="    with funding",
    )
    fees: float | None = number(
        QUOTE,
        "commissions paid, rebates negative",
        null=_NEVER_VALID,
        group=PROFIT,
        line="  fees",
        compared=_ITSELF,
        net=True,
        part=True,
        leg=5,
    )
    pnl_hold: float | None = number(
        QUOTE,
        "what holding q* earned by itself: Σ q*·Δm (less funding on q*)",
        null=_NEVER_VALID,
        group=PROFIT,
        line="hold",
        compared=_ITSELF,
        leg=8,
    )
    pnl_total: float | None = number(
        QUOTE,
        "`pnl_quoting + pnl_hold`, exactly",
        null=_NEVER_VALID,
        group=PROFIT,
        line="account",
        compared=_ITSELF,
        net=True,
        leg=6,
    )
    pnl_realised: float | None = number(
        QUOTE,
        "before fees, first in, first out; with `pnl_unrealised` less fees it is `pnl_quoting`",
        null=_NEVER_VALID,
        group=PROFIT,
        part=True,
    )
    pnl_unrealised: float | None = number(
        QUOTE, "the rest of it, at the last mark", null=_NEVER_VALID, group=PROFIT, part=True
    )
    initial_equity: float | None = number(QUOTE, "at the first state row", null=_NEVER_VALID, group=PROFIT)
    account: Values | None = number(
        QUOTE,
        "the whole account: `equity_start`, `equity_end`, `max_drawdown` and its share, duration",
        null=f"{_NEVER_VALID}, or the equity began at 0 or below",
        group="The whole account, with the inventory held",
        members={"max_drawdown_share": Member(SHARE)},
    )
    own_market: Values | UnsetType | None = sometimes(
        QUOTE,
        "with [other markets](write_a_strategy.md#another-market-and-a-hedge): PnL, verdict, drawdown and ratios "
        "of the own market alone; those keys of the summary are then of all legs together (the exact sum), all "
        "others of the own market. `null` where quote assets differ: then nothing is of all legs",
        compared=("*.pnl_quoting", "*.pnl_total", "*.max_drawdown"),
    )
    others: Values | UnsetType = sometimes("", "what was seen of other markets")
    legs: Mapping[str, Values] | UnsetType = sometimes("", "the numbers of our orders in each other market")
    daily: Rows | None = number(QUOTE, "per day: quoting PnL, fills, equity; they add up")
    volume: Values = number(
        "",
        "traded, in `base` and `quote`",
        group="Volume",
        compared=("*.quote",),
        leg=4,
        members={"base": Member(BASE), "quote": Member(QUOTE)},
    )
    inventory_turnover: float | None = number(
        RATIO,
        "traded quantity over the mean distance from the target",
        null="the inventory never left its target, or no time passed with a market",
        group="Volume",
    )
    break_even_fee_rate: Values | None = number(
        SHARE,
        "the maker fee at which `pnl_quoting` is zero; at 1, 5, 30, 60 s the fee that equals the realised half-spread",
        null="no fills, or none with a valid mid that long after it",
        group="Break-even fee rate",
        net=True,
    )
    round_trips: Values = number(
        QUOTE,
        "`n`, `win_rate`, `mean`, `median`, `best`, `worst`, `holding_s`; a trip ends with each fill that closes lots",
        null="no quantity was bought and sold again",
        group="Round trips",
        compared=("*.n", "*.win_rate", "*.mean"),
        members={"n": Member(COUNT), "win_rate": Member(SHARE)},
    )
    effective_half_spread: float | None = number(
        UNIT,
        "mean of s·(m − p), weighted by quantity, like the two below",
        null="no fills with a valid mid",
        compared=_ITSELF,
    )
    adverse_selection: Values = number(UNIT, "mean of s·(m_h − m) at 0, 1, 5, 30, 60 s", null=_NO_FILL_LATER)
    realised_half_spread: Values = number(UNIT, "their sum", null=_NO_FILL_LATER, compared=("*.60",))
    adverse_selection_se: Values | None = number(UNIT, "its error by blocks", null=_FEW_FILLS)
    realised_half_spread_se: Values | None = number(UNIT, "its error by blocks", null=_FEW_FILLS)
    adverse_selection_ci95: Values | None = number(UNIT, "its 95 % interval", null=_FEW_FILLS)
    realised_half_spread_ci95: Values | None = number(UNIT, "its 95 % interval", null=_FEW_FILLS)
    effective_half_spread_ci95: Sequence[float] | None = number(UNIT, "its 95 % interval", null=_FEW_FILLS)
    adverse_selection_left_out: Values | None = number(COUNT, "fills whose horizon ends after the data or a gap")
    markouts: Rows | None = number(
        UNIT,
        "the same by side, by adding or unwinding, and by distance; with `se`, `ci95`, `n_effective_blocks`",
        null=_FEW_FILLS,
    )
    quote_qty: float = number(BASE, "the clip", line="quote")
    tick_size: float = number()
    base_asset: str | None = number()
    quote_asset: str | None = number()
    n_orders: int = number(COUNT, "orders sent", line="orders", compared=_ITSELF, leg=2)
    n_rejects: int | None = number(
        COUNT, "refused by the exchange; `rejects` by reason", line="rejected", compared=_ITSELF
    )
    rejects: Mapping[str, int] = number(leg=10)
    n_skips: int | None = number(COUNT, "wanted and not sent; `skips` by reason")
    skips: Mapping[str, int] = number(leg=11)
    n_fills: int = number(COUNT, "fills", line="fills", compared=_ITSELF, leg=3)
    n_partial: int | None = number(COUNT, "orders with a fill smaller than themselves")
    predicted_fills: float | None = number(
        COUNT,
        "the run's intensity integrated over its orders; `observed_fills` beside it",
        null="no intensity predicts fills",
        line="fills expected",
        digits=1,
    )
    observed_fills: int | None = number()
    fills_ratio: Values | None = number(
        RATIO,
        "fills over predicted fills, with an interval for clustered fills; of a schedule, and of a fit of three "
        "days or more, it is predictive (errors by blocks, the variance between days), else `given` says given "
        "what",
        null="no intensity predicts fills from the mid, or a fifth of the order time was outside the fit",
        members={
            "given": Member(null="the interval is predictive, or there is no ratio"),
            "low": Member(null=_FEW_BLOCKS),
            "high": Member(null=_FEW_BLOCKS),
        },
    )
    fills_forecast: Values | UnsetType = sometimes(
        COUNT,
        "only where earlier days of the same design, fit and fill model are on record: `value`, the predicted "
        "fills times those days' ratios by distance; `low` and `high`, of a 95 % predictive interval; `run_ids`, "
        "`days`; `given`: what the interval assumes of fewer than three runs",
        members={
            "low": Member(null="fewer than three runs, and fewer than three hours in them"),
            "high": Member(null="fewer than three runs, and fewer than three hours in them"),
            "given": Member(null="the interval is by the variance between three runs or more, or there is none"),
        },
    )
    fill_ratio: float | None = number(SHARE, "filled over placed quantity", null="nothing was placed", compared=_ITSELF)
    hit_rate: float | None = number(SHARE, "orders with a fill", null="nothing was placed", compared=_ITSELF)
    quote_to_trade: float | None = number(RATIO, "orders and cancels per fill", null="no fills")
    fills_by_distance: Rows | None = number(
        "",
        "by distance from the mid (`from_ticks` to `to_ticks`): seconds, fills, rate, predicted, ratio, `pit` "
        "(Poisson probability of fewer fills, uniform for a correct model)",
        null="no fill was predicted",
        members={
            "rate_low": Member(null=_FEW_BLOCKS),
            "rate_high": Member(null=_FEW_BLOCKS),
            "ratio_low": Member(null=_NO_ENDS),
            "ratio_high": Member(null=_NO_ENDS),
        },
    )
    fills_by_hour: Rows | None = number(
        "",
        "the same by hour",
        null="no fill was predicted",
        members={
            "rate_low": Member(null=_FEW_BLOCKS),
            "rate_high": Member(null=_FEW_BLOCKS),
            "ratio_low": Member(null=_NO_ENDS),
            "ratio_high": Member(null=_NO_ENDS),
        },
    )
    inventory: Values = number(
        BASE,
        "`mean`, `abs_mean`, `rms` by time, `max`, `half_life_s` (autocorrelation below ½ on a 1 s grid)",
        null=_NO_TIME,
        group="Inventory",
        line="inventory",
        members={"half_life_s": Member(null="the inventory was the same at every second")},
    )
    inventory_from_target: Values | None = number(
        BASE, "the same from `target_inventory`", null=_NO_TIME, compared=("*.rms", "*.max")
    )
    target_inventory: float | None = number(leg=9)
    largest_position: Values | None = number(
        QUOTE,
        "the largest inventory from the target (`inventory`, base), its `value` then, and the `loss` by the run's "
        "own worst minute there",
        members={"inventory": Member(BASE)},
    )
    inventory_at_bound: float | None = number(
        SHARE,
        "of the time at the model's bound",
        null="the quote model has no bound of the inventory, or no time passed with a market",
    )
    two_sided_uptime: float | None = number(
        SHARE,
        "of the covered time with orders at rest on both sides",
        null="there was no time with a market",
        line="two-sided uptime",
        digits=3,
        compared=_ITSELF,
    )
    seconds_covered: float | None = number(
        SECONDS, "the length of the `spans`", line="seconds", digits=0, compared=_ITSELF
    )
    seconds_excluded: float | None = number(SECONDS, "the rest")
    seconds_between_days: float | UnsetType = sometimes()
    fifo_consistency: float | UnsetType = sometimes(
        "",
        "under `queue_orders`, the share of executed lots whose order was the first of its queue: 1 in a plain FIFO",
        line="first in queue",
    )
    excluded: Sequence[str] | UnsetType = sometimes(
        "", "the spans of the days that a fault of the data takes out, each with its cause"
    )
    spans: Sequence[Sequence[int]] | None = number(
        "µs",
        "begin and end of each stretch with a market: the book valid, the market open, a walk-forward's first "
        "segment begun, no trades missing, no book that trades print through, in a trade the exchange reached",
    )
    quoted_half_spread: Values | None = number(
        UNIT, "`p10`, `p50`, `p90` of the distance over time at rest", null=_NOTHING_RESTED
    )
    quoted_half_spread_ticks: Values = number(TICKS, "the same", null=_NOTHING_RESTED)
    quote_lifetime_s: Values | None = number(SECONDS, _TIMES, null="no order rested and ended")
    order_to_ack_s: Values | None = number(SECONDS, "the same, from sending to the answer", null="no order arrived")
    live_to_fill_s: Values | None = number(SECONDS, "the same, from resting to a fill", null=_NOT_SENT)
    order_to_fill_s: Values = number(SECONDS, "the same, from sending to a fill", null=_NOT_SENT)
    feed: Values | UnsetType = sometimes(
        "",
        "how far the exchange was ahead of us: `kind` (`recorded`, `constant`, `none`), `why`, `median_ms`; of a "
        "recorded one `p99_ms` and `clock_offset_ms` ([engine](specification/engine.md#feed-latency))",
        line="feed",
        members={"median_ms": Member(null="a trade does not measure it; mm latency does")},
    )
    liquidated_at: str | UnsetType = sometimes(
        "", "of a contract whose position was liquidated: when (UTC); PnL and time end there, and nothing is concluded"
    )
    margin: Values | UnsetType = sometimes(
        "",
        "of a contract's account: `leverage`, `margin_type`, where `brackets` and `mark` are from; at the mark "
        "prices the largest margins of the position, `initial_max` and `maintenance_max` (quote), `ratio_max` "
        "(maintenance margin over margin balance, a ratio: 1 liquidates) and `leverage_max` (notional over that "
        "balance, a ratio), of cross positions the account's; `clearance_fee` of liquidations (quote), "
        "`liquidated_in_part`: how many of them left a part of the position",
        line="margin",
        members={
            "ratio_max": Member(null="the margin balance was 0 or below at a mark price"),
            "leverage_max": Member(null="the margin balance was 0 or below at a mark price"),
        },
    )
    risk: Values | UnsetType | None = sometimes(
        "",
        "with limits: `breaches` by knob, `killed`",
        line="risk",
        members={"killed": Member(null="nothing ended all trading")},
    )
    strategy: Values | UnsetType = sometimes(
        "",
        "the quote model with its steps and parameters in effect (`fit`, `tape`, `touch`, `auto` say where they "
        "come from)",
    )
    predictors: Rows | UnsetType = sometimes()
    agent_days: Sequence[str] | UnsetType = sometimes()
    gamma: float | None = number(
        GAMMA, "risk aversion, median where it varies", null="the quote model has no gamma, or quoted nothing"
    )
    gamma_quantiles: Mapping[str, float] | UnsetType = sometimes()
    quotes_from: str | UnsetType = sometimes("", "`curve` where a misfit is replaced")
    fit: Values | None = number(
        "",
        "path, day, `used` (by a model), `in_sample`, `status`, A, k, shape of the fit",
        null="no fit or schedule was given, or it does not state it",
        members={
            "adverse_ticks": Member(
                null="the quote model has no such parameter, it was set, or the fit has no moves after fills"
            ),
            "measured_under": Member(null="the fit counts trades, not the fills of a fill model (CALIB_FILLS)"),
            "measured_under.differs": Member(
                null="the run uses the fill model and quantity of the fit, or draws fills from it"
            ),
        },
    )
    reference: str = number("", "the price of distances")
    reference_why: str | None = number("", "why that one", null="the fit does not state it")
    fill_bias: str | None = number("", "the fill model's known bias", null="the fill model declares none")
    share_outside_fit: float | None = number(
        SHARE, "order time outside the fitted distances", null="no fit states its range of distances"
    )
    knows_next_move: bool | None = number(
        "",
        "whether the fill model's fills come with the moves that cause them: not `poisson`, `hawkes`, `predicted`, "
        "a `hybrid` with one, or a class with `knows_next_move = False`. Without, no verdict, interval, "
        "probability, bound, rank by bound or deflated Sharpe ratio is given anywhere",
    )
    verdict: Values | None = number(
        QUOTE,
        "the expected sum of X over the periods `above 0`, `below 0`, `undecided` (`lower95`, `upper95`: long-run "
        "error, Student's t), `too short to test` under 20 periods; none without `knows_next_move`. It is of these "
        "days, on which all intervals of the trials on record hold at once, and allows for losses not seen yet: "
        "`tail` (`from_run`, `block_start`, `scaled_loss`, `decides`) is the larger of the worst five minutes of "
        "any design on record, in units of its design, and of the symbol's largest move on another day at "
        "`largest_position`. An undecided one has `days_to_decide`: how many days like these alone would, in 80 % "
        "of cases",
        null=f"the same quoting PnL in every period, too few of them, {_NOT_KNOWING}",
        net=True,
        members={
            "days_to_decide": Member(null="the verdict is not undecided, or only by a loss of another design"),
            "tail": Member(null="no other design and no move of another day is on record"),
            "tail.block_start": Member(null="it is the symbol's largest move on another day"),
        },
    )
    undone_by: Values | None = number(
        QUOTE,
        "what would undo a verdict above 0: one `loss` (the sum of X), `times_the_largest` seen, and `once_in_s`, "
        "the least rate of it that the covered time excludes at 95 %; given where ten times the largest loss seen, "
        "or `stressed_loss` (the symbol's largest move on record at `largest_position`), is as large, and where "
        "fewer than 20 periods lost",
        null=_NOT_UNDONE,
        members={"times_the_largest": Member(null="no period lost anything")},
    )
    undone_by_alone: Values | None = number(
        null=_NOT_UNDONE, members={"times_the_largest": Member(null="no period lost anything")}
    )
    verdict_alone: Values | None = number(
        QUOTE,
        "the same as if nothing else had been tried",
        null=f"the same quoting PnL in every period, too few of them, {_NOT_KNOWING}",
        net=True,
        members={
            "days_to_decide": Member(null="the verdict alone is not undecided"),
            "tail": Member(null="alone, no other design is known"),
        },
    )
    trials: Values | None = number(
        "",
        "[what was tried](#trials-on-record): `known` below `OUT_ROOT`, designs `on_these_days` with this one, as "
        "many `independent` ones as these are worth, `this_is_new`, `held_out_openings` of these days, their "
        "trials `forgotten`, and finished runs `off_record`, which are older than the ledger",
    )
    sharpe: float | None = number(
        "annual",
        "60 s periods, ddof 1, × √`returns.periods_per_year`",
        null=_NO_VARIATION,
        group=RISK,
        compared=_ITSELF,
        net=True,
    )
    sharpe_autocorr: float | None = number(
        "annual", "with autocorrelation (Lo 2002)", null=_NO_VARIATION, group=RISK, net=True
    )
    sharpe_ci95: Sequence[float] | None = number(
        "annual",
        "by block bootstrap; `sharpe_bootstrap` has its terms",
        null=f"fewer than 20 periods of 60 s, too rare changes, {_NOT_KNOWING}",
        net=True,
    )
    sharpe_bootstrap: Values | None = number()
    sortino: float | None = number(
        "annual",
        "over losses alone",
        null="fewer than two 60 s periods with a market, or none with a loss",
        group=RISK,
        net=True,
    )
    calmar: float | None = number(
        "annual", "annualised PnL over `max_drawdown`", null="no drawdown", group=RISK, net=True
    )
    sharpe_daily: float | None = number(
        "annual", "over days, × √(days a year)", null="fewer than two days, or all equal", net=True
    )
    returns: Values | None = number(
        QUOTE,
        "moments of the periods, `autocorr_inflation` (long-run over independent variance), `pnl_left_out` (PnL in "
        "no period), `drift_half_life_s` of the mean (0 without a drift; noted where the run has under 60 of "
        "them), `robust_unit` (root mean square without the largest twentieth)",
        null=_NO_VARIATION,
        group="Changes of PnL, by period",
        members={
            "periods": Member(COUNT),
            "periods_per_year": Member(COUNT),
            "gained": Member(SHARE),
            "lost": Member(SHARE),
            "skew": Member(RATIO),
            "kurtosis": Member(RATIO),
            "sharpe_per_period": Member(RATIO),
            "autocorr_inflation": Member(RATIO),
        },
    )
    psr: float | None = number(
        SHARE,
        "1 − p of the one-sided test that the mean of X is not above 0, of the verdict's interval: above .975 "
        "where it is above 0",
        null=f"fewer than 20 periods of 60 s in which anything was earned or lost, or all equal, {_NOT_KNOWING}",
    )
    psr_alone: float | None = number(
        SHARE,
        "the same as if nothing else had been tried",
        null=f"fewer than 20 periods of 60 s with a market, or all equal, {_NOT_KNOWING}",
    )
    max_drawdown: float | None = number(QUOTE, "of X", null=_NEVER_VALID, group=RISK, compared=_ITSELF)
    drawdown_duration_s: float | None = number(
        SECONDS, "the longest, from a peak to its recovery", null=_NEVER_VALID, group=RISK
    )
    under_water: Values | None = number(
        "",
        "the drawdowns of X",
        null="the book was never valid, or no time passed with one",
        group="Under water",
        members={"s": Member(SECONDS), "share": Member(SHARE)},
    )
    bounds: Values | UnsetType | None = sometimes(
        "",
        "where the fill model is a queue (`BOUNDS`): `n_fills`, `fill_ratio`, `markout_5s` (the half-spread "
        "realised after 5 s) and `pnl_quoting` of the same quotes at the `back` of every queue (`queue_back`), as "
        "`chosen`, and in `front` (`queue_front`). Verdict, `undone_by` and `psr` are those of the play with the "
        "least PnL",
        null="the quotes or fills are an object that cannot be made anew: a warning says why",
        members={
            "back": Member(null="a play at the back of every queue has no such number"),
            "front": Member(null="a play in front of every queue has no such number"),
            "chosen": Member(null="the run has no such number"),
        },
    )
    open_share: float | UnsetType | None = sometimes(
        SHARE,
        "the largest of these PnL less the least, over the size of the chosen one: what the tape leaves open",
        null="the chosen PnL is 0 or undefined, or there are no bounds",
    )
    bounds_curve: Mapping[str, Sequence[float]] | UnsetType = sometimes(
        QUOTE, "the three PnL over time, at 240 instants `us`"
    )
    verdict_chosen: Values | UnsetType = sometimes(
        QUOTE, "the verdict on the chosen play alone, where another one of the bounds earned less"
    )
    judged: Values | UnsetType = sometimes(
        "",
        "the play whose verdict it is, where it is not the chosen one: its name, `lost`, `worst`, `robust_unit` as in "
        "`returns`, and its largest `positions`",
    )
    sensitivity: Values | UnsetType = sometimes(
        QUOTE, "see below", null="the same as in the run's own numbers, under that assumption"
    )
    pnl_band: Values | UnsetType = sometimes()
    ended: Values | UnsetType = sometimes()
    fees_unvalued: Mapping[str, str] | UnsetType = sometimes()
    numeraire: Values | UnsetType = sometimes()
    balances: Mapping[str, Mapping[str, str]] | UnsetType = sometimes()
    diversification: Values | UnsetType | None = sometimes()
    absent: Mapping[str, Sequence[str]] | UnsetType = sometimes()
    killed: Sequence[Any] | UnsetType | None = sometimes()
    symbols: Mapping[str, Values] | UnsetType = sometimes()
    all_legs: Values | UnsetType = sometimes()
    warnings: Sequence[str] = number()

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Summary":
        """Return the content of a ``summary.json``, of an older version, too; keys without a field are left out."""
        return cls(**{name: content[name] for name in NUMBERS if name in content})

    @property
    def whole(self) -> "Summary":
        """The numbers of all legs, which older versions had apart."""
        return Summary.read(apart) if (apart := given(self.all_legs)) else self

    @property
    def own(self) -> "Summary | None":
        """The numbers of the own market alone, of a strategy with legs; of an older version the whole summary."""
        if apart := given(self.own_market):
            return Summary.read(apart)
        return self if given(self.all_legs) else None

    @property
    def has_other_part(self) -> bool:
        """Whether the parts of the PnL are of the own market alone, as in older versions with several legs."""
        own = given(self.own_market)
        return bool(own) and "fees" not in (own or {})

    @property
    def parted(self) -> "Summary":
        """The numbers with the parts of the own market's PnL."""
        own = self.own
        return self if own is None or self.has_other_part else own

    @property
    def quoting(self) -> float | None:
        """The PnL of quoting, of all legs; the first versions had only a total."""
        whole = self.whole
        return whole.pnl_total if whole.pnl_quoting is None else whole.pnl_quoting

    @property
    def concludes(self) -> bool:
        """Whether the PnL is evidence: its fills know the next move, and no liquidation ended the run."""
        return self.knows_next_move is not False and not given(self.liquidated_at)


NUMBERS: Mapping[str, Number] = {one.name: one.metadata[NUMBER] for one in fields(Summary)}
NULLS: Mapping[str, str] = {
    **{name: one.null for name, one in NUMBERS.items() if one.null},
    **{
        f"{name}.{inner}": member.null
        for name, one in NUMBERS.items()
        for inner, member in one.members.items()
        if member.null
    },
}
COMPARED = tuple(text.replace("*", name) for name, one in NUMBERS.items() for text in one.compared)
NET = tuple(name for name, one in NUMBERS.items() if one.net)
PARTS = tuple(name for name, one in NUMBERS.items() if one.part)
OF_A_LEG = tuple(sorted((name for name, one in NUMBERS.items() if one.leg), key=lambda name: NUMBERS[name].leg))


def unit_of(key: str, member: str = "") -> str:
    if member.endswith("_s"):
        return SECONDS
    own = NUMBERS[key].members.get(member)
    return (own and own.unit) or NUMBERS[key].unit


def groups() -> Iterator[tuple[str, list[str]]]:
    for heading in dict.fromkeys(one.group for one in NUMBERS.values() if one.group):
        yield heading, [name for name, one in NUMBERS.items() if one.group == heading]


def table() -> Iterator[str]:
    yield "| key | unit | meaning | `null` if |"
    yield "|---|---|---|---|"
    for name, one in NUMBERS.items():
        if one.meaning:
            yield f"| `{name}` | {one.unit} | {one.meaning} | {one.null} |"


def value_at(summary: Summary, name: str) -> Any:
    """Return what stands under a dotted name; None without it."""
    key, *inner = name.split(".")
    value = given(getattr(summary, key))
    for part in inner:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
