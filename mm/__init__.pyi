# Generated from mm/__init__.py by `make stubs`; edit that file instead.

"""A research pipeline for market making, built around Avellaneda-Stoikov quotes.

Importing ``mm`` loads no heavy module: each public name (``mm.__all__``) is loaded from its module on first use.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypedDict

from mm.backtest.fills.base import BookView as BookView
from mm.backtest.fills.base import OrderView as OrderView
from mm.backtest.fills.base import TradeView as TradeView
from mm.backtest.paper_exchange import PaperExchange as PaperExchange
from mm.backtest.quotes.base import QuoteView as QuoteView
from mm.backtest.quotes.view import OwnFill as OwnFill
from mm.backtest.quotes.view import Quotes as Quotes
from mm.backtest.result import Result as Result
from mm.backtest.rules import Rules as Rules
from mm.backtest.strategy import Orders as Orders
from mm.backtest.strategy import OwnOrder as OwnOrder
from mm.base.notebook import Picture as Picture
from mm.calibration.calibrate import calibrate as calibrate
from mm.calibration.config import CalibrationConfig as CalibrationConfig
from mm.calibration.fit_points import fit_poisson as fit_poisson
from mm.calibration.fit_result import PoissonFit as PoissonFit
from mm.calibration.points import Points as Points
from mm.calibration.schedule import Schedule as Schedule
from mm.calibration.schedule import build_schedule as build_schedule
from mm.calibration.windows import WindowPlan as WindowPlan
from mm.commands.load_capture import load_capture as load_capture
from mm.dayfolder.layout import DayFolder as DayFolder
from mm.live.pages.compare_account import compare as compare
from mm.play.days import load_day as load_day
from mm.play.forward import walkforward as walkforward
from mm.play.python import backtest as backtest
from mm.runs.find import open_run as open_run
from mm.runs.finished import RunFolder as RunFolder
from mm.signals.other_market import OtherMarket as OtherMarket
from mm.sweep.evaluate import evaluate as evaluate
from mm.sweep.findings import SweepFindings as SweepFindings
from mm.sweep.sweep import sweep as sweep
from mm.tape.tape import Tape as Tape
from mm.trials.listing import trials as trials
from mm.walkforward.walkforward import WalkForward as WalkForward

__version__: str
_PUBLIC: dict[str, str]
_PACKAGES: set[str]
__all__ = [
    "BookView",
    "CalibrationConfig",
    "DayFolder",
    "OrderView",
    "Orders",
    "OtherMarket",
    "OwnFill",
    "OwnOrder",
    "PaperExchange",
    "Picture",
    "Points",
    "PoissonFit",
    "QuoteView",
    "Quotes",
    "Result",
    "Rules",
    "RunFolder",
    "Schedule",
    "SweepFindings",
    "Tape",
    "TradeView",
    "WalkForward",
    "WindowPlan",
    "backtest",
    "build_schedule",
    "calibrate",
    "compare",
    "evaluate",
    "fit_poisson",
    "load_capture",
    "load_day",
    "open_run",
    "sweep",
    "trials",
    "walkforward",
]

class _Execution(TypedDict, total=False):
    order_latency_ms: float
    """Time from sending an order until it rests in the book."""
    cancel_latency_ms: float
    """Time from sending a cancel until it takes effect."""
    latency_file: Path | str | None
    """CSV of measured latencies to draw from instead: order_ms, optionally cancel_ms and rate_per_s."""
    feed_latency: Literal["auto", "recorded", "none"] | float
    """recorded: events occur at the exchange's time and reach us with the recorded delay; auto: recorded
    where a day tells that time, else none; none: no delay; or a constant delay in ms.
    """
    requote_interval_ms: float
    """Time between two requotes."""
    requote_on_fill: bool | int
    """1 also requotes at once after a fill or a rejection."""
    order_ttl_ms: float
    """Lifetime of a resting order; 0: good till cancelled."""
    refresh_interval_ms: float
    """Age at which an order of unchanged price is replaced; 0: never."""
    order_amend: bool | int
    """1 amends a resting order to a smaller quote at its price (order.amend.keepPriority); 0 keeps it as
    it is.
    """
    order_modify: bool | int
    """1 moves a resting quote of a contract to its new price by one request (order.modify); 0 cancels it
    and sends another.
    """
    order_limit_10s: int
    """New orders accepted in each ten seconds; 0: no limit."""
    order_limit_day: int
    """New orders accepted in each day (UTC); 0: no limit."""

class _Account(TypedDict, total=False):
    maker_fee_rate: float | Decimal | str
    """Maker fee, as a share of the notional: 0.001 is 0.1 %."""
    taker_fee_rate: float | Decimal | str
    """Taker fee, as a share of the notional: 0.001 is 0.1 %."""
    initial_cash: float | Decimal | str
    """Cash at the start, in the quote asset."""
    initial_inventory: float | Decimal | str
    """Inventory at the start, in the base asset."""
    target_inventory: float | Decimal | str | None
    """Inventory that quotes, bounds and risk are measured from; without it the initial one."""
    preset: Literal["equity", "future", "crypto"] | None
    """Fees, contract multiplier, hours and short sales of an asset class; without it the recorded
    market's.
    """
    state_interval_ms: float
    """Time between two rows of the state file."""
    seed: int
    """Seed of all random draws."""

class _Margin(TypedDict, total=False):
    leverage: int | None
    """Leverage of a contract, which sets its initial margin; without it the exchange's first, 20. mm trade
    requires it of the symbol at the start, and never changes it.
    """
    margin_type: Literal["cross", "isolated"] | None
    """Whether a position is backed by the whole account, or by a margin of its own; without it cross. mm
    trade requires it of the symbol at the start, and never changes it.
    """
    brackets_file: Path | str | None
    """JSON of the exchange's leverageBracket (its answer); without it the brackets that it documents for
    BTCUSDT.
    """

class _Models(TypedDict, total=False):
    quote_model: str
    """Quote model: a name, or package.module:Class; mm models lists them."""
    quote_qty: float | Decimal | str | None
    """Quantity of a quote; without it the smallest that reaches the minimum notional at 0.9 of the first
    mid.
    """
    quote_levels: int
    """Number of orders per side: one at the quoted price, the others farther from the mid."""
    level_step_ticks: int
    """Distance from one of them to the next, in ticks."""
    quote_params_json: Mapping[str, Any] | list[Any] | str | None
    """Parameters of the quote model."""
    fill_model: str
    """Fill model: a name, or package.module:Class; mm models lists them."""
    fill_params_json: Mapping[str, Any] | list[Any] | str | None
    """Parameters of the fill model."""
    fill_params_file: Path | str | None
    """Fit or schedule: a file, the RUN_ID of a calibration, or last: the newest one of the symbol that is
    usable.
    """
    fill_per_side: bool | int
    """1 uses separate A and k per side of the fit."""
    fit_draws: int
    """Number of further backtests with A and k drawn from the distribution of the fit, for the band of the
    PnL.
    """
    trust: str | None
    """Files of Python code that a fit, a predictor or an agent may name; code named only by a file is not
    run.
    """

class _Risk(TypedDict, total=False):
    max_position: float | Decimal | str | None
    """Maximum position, counted from the target, if all open orders of a side fill, in the base asset."""
    max_order_notional: float | Decimal | str | None
    """Maximum notional of an order, in the quote asset."""
    max_open_orders: int | None
    """Maximum number of open orders per side, including those with a pending cancel."""
    max_leverage: float | Decimal | str | None
    """Maximum leverage, position times mid over equity, if all open orders of a side fill."""
    max_daily_loss: float | Decimal | str | None
    """Loss since the start of the Berlin day that ends all trading, in the quote asset."""
    max_drawdown: float | Decimal | str | None
    """Drawdown that ends all trading, as a share of the peak equity."""
    price_band: float | Decimal | str | None
    """Maximum distance of a price from the mid, as a share of the mid."""
    max_move: float | Decimal | str | None
    """Move of the mid within 1 s, as a share, beyond which quotes are pulled."""
    max_orders_per_s: int | None
    """Maximum number of orders placed or replaced in a second; others wait, cancels never do."""
    feed_stale_s: float | None
    """Age of the market, since its last message or by the exchange's clock, beyond which quotes are
    pulled, in s.
    """
    latency_threshold_ms: float | None
    """Time from sending an order to its acceptance beyond which quotes are pulled, in ms."""
    widen_bands: Mapping[str, Any] | list[Any] | str | None
    """[[share of MAX_POSITION, factor], ...]: factor of the quotes' distance from the mid, from that far
    off the target on.
    """
    size_ramp: Mapping[str, Any] | list[Any] | str | None
    """Fractions of QUOTE_QTY, one per day without a breach; a replay takes the first."""

class _Sensitivity(TypedDict, total=False):
    sensitivity: bool | int | None
    """Sensitivity: 1 also runs with optimistic and pessimistic fills, and with 0.5 and 2 times the
    latency; default: 1.
    """
    bounds: bool | int | None
    """Bounds: 1 also plays a queue model's quotes with every cancellation ahead of our orders
    (queue_front), and with none (queue_back); default: 1.
    """
    queue_exponent_file: Path | str | None
    """Result of mm fills fit: the sensitivity also plays this exponent of queue_prob_power; default: the
    one of the symbol's last day before the run, else of its last day, in OUT_ROOT/fills.
    """
    stress_moves: str | None
    """Largest moves of the mid within a minute, as shares of it, that the sensitivity puts into the run at
    its largest inventory; default: the largest of the symbol's days that runs below OUT_ROOT have
    played.
    """

class _AccountTerms(TypedDict, total=False):
    account_max_notional: float | Decimal | str | None
    """Maximum notional of all symbols, positions and open orders at the mid, in the quote asset."""
    account_max_daily_loss: float | Decimal | str | None
    """Loss of all symbols since the start of the Berlin day that kills all; default: MAX_DAILY_LOSS."""
    account_max_open_orders: int | None
    """Maximum number of open orders of all symbols, both sides."""
    numeraire: str | None
    """Asset in which an account of several quote assets is summed and limited, at the mids of its symbols;
    default: the quote asset of most symbols.
    """
    initial_balances: Mapping[str, Any] | list[Any] | str | None
    """Balances of an account at the start in quote assets beside that of INITIAL_CASH: {"BTC": "0.5"}."""

class _BacktestKnobs(_Execution, _Account, _Margin, _Models, _Risk, _Sensitivity, _AccountTerms, total=False): ...

class _ManyDaysOfEvaluationKnobs(TypedDict, total=False):
    data_root: Path | str
    """Folder of the day folders <SYMBOL>/<YYYYMMDD>."""
    out_root: Path | str
    """Folder of the run folders and of the tape cache."""
    plotlyjs: Literal["inline", "directory"]
    """Whether each page contains plotly's JavaScript (2 MB), or OUT_ROOT has one copy, without which no
    page draws.
    """
    damaged: bool | int
    """1 uses the remaining data of a damaged day, and lists what is excluded; 0 refuses the day."""
    open_held_out: bool | int
    """1 opens days that are held out (mm data hold): that is written down, and printed with every later
    number.
    """
    out_dir: Path | str | None
    """Folder of the run, instead of one under OUT_ROOT."""
    own_orders: Path | str
    """auto takes the orders of the trades that recorded a day off it, by their audit logs in OUT_ROOT;
    keep leaves them in; or a log or folder of logs, whose orders are taken off.
    """
    held_out: bool | int
    """1 plays all days of the symbols that are held out, and opens them."""

class _Market(TypedDict, total=False):
    tick_size: float | Decimal | str | None
    """Tick size: price step, in the quote asset."""
    qty_step: float | Decimal | str | None
    """Quantity step of our orders, in the base asset."""
    min_notional: float | Decimal | str | None
    """Minimum notional of our orders, in the quote asset."""

class _OtherMarkets(TypedDict, total=False):
    others: str | Mapping[str, Any] | list[Any] | None
    """Other markets: SYMBOL or NAME=SYMBOL, a list, or JSON by name: symbol, data_root, feed_latency_ms,
    orders.
    """

class _Workers(TypedDict, total=False):
    jobs: int | None
    """Number of processes; default: one per core; 1 plays one point after another in this process."""
    cluster: str | None
    """Dask scheduler whose workers play; they need the same DATA_ROOT and OUT_ROOT, or an OBJECT_STORE."""
    object_store: str | None
    """Object store from which the workers of CLUSTER fetch tapes, models and files if they share no disk."""
    reuse_points: bool | int
    """0 also runs the backtests that are stored from an earlier run."""

class _Bounded(TypedDict, total=False):
    bounds: bool | int
    """Bounds: 1 also plays each day of a queue model in front and at the back of every queue."""

class _OneAccount(TypedDict, total=False):
    one_account: bool | int
    """1 plays the symbols of a list together, on the balances of one account; 0 plays each for itself."""

class _PerSymbol(TypedDict, total=False):
    per_symbol: Mapping[str, Any] | list[Any] | str | None
    """Knobs of strategy and limits for single symbols: {"ETHUSDT": {"QUOTE_QTY": "0.1", "MAX_POSITION":
    "2"}}.
    """

class _EvaluationKnobs(
    _ManyDaysOfEvaluationKnobs,
    _Market,
    _Execution,
    _Account,
    _Margin,
    _Models,
    _Risk,
    _OtherMarkets,
    _Workers,
    _Bounded,
    _OneAccount,
    _PerSymbol,
    _AccountTerms,
    total=False,
): ...

class _PlayedCalibration(TypedDict, total=False):
    calib_method: Literal["ladder", "fixed", "marks"]
    """Method by which exposure is measured."""
    calib_deltas: str
    """Distances of ladder and fixed, in ticks; auto: 1,2,3,5,8,13, or with CALIB_FILLS from the best price
    as far as trades reach.
    """
    calib_dwell_ms: float
    """Time per distance of the ladder."""
    calib_mid_move_threshold_ticks: float
    """Move of the reference price after which a calibration quote follows it."""
    calib_reference: Literal["auto", "mid", "micro", "best", "sweep"]
    """Reference price of distances; `auto`: whichever predicts best (a schedule chooses on its first
    training window), or with CALIB_FILLS the mid, because quotes are placed at distances from the mid.
    """
    calib_fills: str | None
    """Fill model of the measured orders, which are simulated as in a backtest, by ladder or fixed (default
    fixed); CALIB_ORDER_QTY is then their quantity, 0: as a backtest without QUOTE_QTY.
    """
    calib_fill_params_json: Mapping[str, Any] | list[Any] | str | None
    """Parameters of that fill model."""
    calib_hit: Literal["touch", "strict"]
    """A hit is a trade at the price, or only one beyond it."""
    calib_order_qty: float | Decimal | str
    """Minimum quantity of a sweep that is a hit; 0: any."""
    calib_queue_ahead: float
    """Share of the displayed quantity that is filled first."""
    calib_sweeps: bool | int
    """1 counts prints of one side and trade time as one aggressive order."""
    calib_distance: Literal["current", "anchor"]
    """Origin of a simulated order's distance: the current reference price, or that at placement."""

class _Fit(TypedDict, total=False):
    fit_method: Literal["poisson_mle", "poisson_firth", "log_linear"]
    """Estimator."""
    min_exposure_s: float
    """Minimum exposure of a distance that is used, in s."""
    min_usable_deltas: int
    """Minimum number of distances of a usable fit."""
    max_delta_ticks: Literal["auto"] | float
    """Largest distance that is used, in ticks; auto: as far as trades reach."""

class _Windows(TypedDict, total=False):
    wf_train_window_min: float
    """Length of a training window, in minutes."""
    wf_step_min: float
    """Step from one window to the next, in minutes."""
    fallback_policy: Literal["carry_forward", "global_default", "skip_segment"]
    """Replacement of the fit of a window that is not usable."""
    fallback_max_age_min: float | None
    """Maximum age of a carried fit, in minutes."""
    schedule_mode: Literal["rolling", "expanding", "ewma", "pooled_k", "static"]
    """Use of earlier data by the windows."""
    schedule_half_life_min: float
    """Half-life of the weight of data, in minutes."""
    schedule_clustering: bool | int
    """1 also fits the clustering of orders, which FILL_MODEL=hawkes needs; a walk-forward with hawkes
    always does.
    """

class _WalkForwardKnobs(
    _PlayedCalibration,
    _Fit,
    _Windows,
    _Execution,
    _Account,
    _Margin,
    _Models,
    _Risk,
    _Sensitivity,
    _AccountTerms,
    total=False,
): ...

class _SourceOfCaptureKnobs(TypedDict, total=False):
    data_root: Path | str
    """Folder of the day folders <SYMBOL>/<YYYYMMDD>."""

class _Streams(TypedDict, total=False):
    top_n: int
    """Levels per side in a frame; 0 writes no frames."""
    trade_stream: Literal["trade", "aggTrade"]
    """Trade stream."""

class _Tables(TypedDict, total=False):
    contract_size: float | Decimal | str | None
    """Base asset of one contract, if quantities are numbers of contracts: they are multiplied by it."""
    price_scale: str | None
    """Prices are multiplied by it and quantities divided, for prices finer than 0.00000001."""
    time_column: str | None
    """Receive time; without it a usual name, such as timestamp."""
    exchange_time_column: str | None
    """The exchange's time; without it a usual name, or none."""
    time_unit: Literal["s", "ms", "us", "ns", "iso"] | None
    """Unit of all times; without it the first row's, which is printed."""
    price_column: str | None
    """Price; without it price or px."""
    qty_column: str | None
    """Quantity; without it qty, quantity, size, amount or volume."""
    side_column: str | None
    """bid or ask, or the buying or selling aggressor; without it side."""
    maker_column: str | None
    """Whether the buyer was the maker; without it is_buyer_maker."""
    id_column: str | None
    """Id of a trade (missing ones are gaps if they count by one), or of the message of a row."""
    order_id_column: str | None
    """Id of a single order; then the kind of a row is add, modify, cancel, delete, trade or clear."""
    kind_column: str | None
    """Kind of each row: snapshot, change or trade; of orders, as above."""
    symbol_column: str | None
    """Symbol of each row; others are left out."""
    side_words: str | None
    """Words of the side column, such as 0=bid,1=ask."""
    kind_words: str | None
    """Words of the kind column, such as P=snapshot,U=change,T=trade."""
    levels: str | None
    """Columns of files with a whole book in each row: prices and sizes of bids and asks, with {n}, or of
    lists.
    """
    trade_files: str | None
    """Names of the files with trades, if their columns do not tell."""
    change_files: str | None
    """Names of the files with changes of levels."""
    book_files: str | None
    """Names of the files with whole books, a level in each row."""
    best_files: str | None
    """Names of the files with best prices alone, which books of the same time may stand beside."""

class _Name(TypedDict, total=False):
    run_id: str | None
    """Name of the run; without it a UTC time stamp. A name that was used before is refused."""

class _CaptureKnobs(_SourceOfCaptureKnobs, _Market, _Streams, _Tables, _Name, total=False): ...
