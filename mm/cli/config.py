"""Every knob of the project, in small frozen dataclasses; a command takes the ones it needs.

docs/configuration.md is generated from here (``make docs``). Durations are in the unit their name ends in;
decimals that must stay exact (prices, quantities, fees, cash) are kept as text.
"""
# ruff: noqa: RUF009 - knob() makes a dataclass field, it is no shared default

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.cli.knobs import (
    DAYS,
    GRID,
    JSON_OBJECT,
    PATH,
    REQUIRED,
    SWITCH,
    SYMBOL,
    SYMBOLS,
    ZONE,
    base_url,
    day_list,
    decimal,
    knob,
    matching,
    number,
    number_or,
    numbers,
    one_of,
    whole,
)
from mm.errors import UsageError

_MS = number(0, 1e10)
_MODEL = matching(r"\w+|[\w.]+:\w+", "a model's name, or package.module:Class")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which symbol, and where recorded days lie."""

    symbol: str = knob(REQUIRED, SYMBOL, "Binance Spot symbol, in any case.")
    data_root: Path = knob(Path("data"), PATH, "Folder of the day folders <SYMBOL>/<YYYYMMDD>.", matters=False)

    def folder(self, day: str) -> Path:
        """Return the folder of one *day*, YYYYMMDD."""
        return self.data_root / self.symbol / day


@dataclass(frozen=True, kw_only=True)
class Sources(Source):
    """Which symbols are recorded, and where."""

    symbol: str = knob(
        REQUIRED, SYMBOLS, "Binance Spot symbols, in any case; each is recorded by a process of its own."
    )


@dataclass(frozen=True, kw_only=True)
class Results:
    """Where runs lie."""

    out_root: Path = knob(Path("out"), PATH, "Folder of the run folders and of the tape cache.", matters=False)


@dataclass(frozen=True, kw_only=True)
class Day(Results, Source):
    """Which recorded days, and where the run goes; several symbols are a run each."""

    symbol: str = knob(REQUIRED, SYMBOLS, "Binance Spot symbol, in any case; or a list: a run each.")
    day: str = knob(REQUIRED, DAYS, "YYYYMMDD, a list 20251216,20251217 or a range 20251216:20251220.")
    out_dir: Path | None = knob(None, PATH, "The run's own folder, instead of one under OUT_ROOT.", matters=False)

    def days(self) -> tuple[str, ...]:
        """Return the days, each YYYYMMDD, in rising order."""
        return day_list(self.day)

    def label(self) -> str:
        """Return the day, or ``<FIRST>-<LAST>`` where there are several: the name in run folders."""
        days = self.days()
        return days[0] if len(days) == 1 else f"{days[0]}-{days[-1]}"


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """What a command tells."""

    log_level: str = knob(
        "INFO",
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", upper=True),
        "Least level that is logged, to the terminal and to run.log.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class Name:
    """What a run is called."""

    run_id: str | None = knob(
        None,
        matching(r"(?!.*\.partial$)\w[\w.-]{0,99}", "letters, digits and ._- (at most 100, not ending in .partial)"),
        "The run's name; without it a UTC stamp. One that was used before is refused.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class Output(Name, Terminal):
    """What a run tells, and what it is called."""

    log_root: Path | None = knob(None, PATH, "Folder of the run logs; without it <OUT_ROOT>/logs.", matters=False)


@dataclass(frozen=True, kw_only=True)
class Market:
    """The grid our orders stand on; what is not given comes from the day's instrument.json."""

    tick_size: str | None = knob(None, decimal("0.00000001"), "Price step, in the quote asset.")
    qty_step: str | None = knob(None, decimal("0.00000001"), "Quantity step of our orders, in the base asset.")
    min_notional: str | None = knob(None, decimal("0"), "Least price times quantity of our orders.")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How our orders reach the exchange and leave it."""

    order_latency_ms: float = knob(50.0, _MS, "From sending an order until it rests in the book.")
    cancel_latency_ms: float = knob(25.0, _MS, "From sending a cancel until it takes effect.")
    latency_file: Path | None = knob(
        None, PATH, "CSV of measured latencies to draw from instead: order_ms, and perhaps cancel_ms and rate_per_s."
    )
    feed_latency: str = knob(
        "none", one_of("none", "recorded"), "recorded: the exchange acts at its own time, we learn of it at ours."
    )
    requote_interval_ms: float = knob(250.0, number(0.001, 1e10), "Between two questions to the quote model.")
    requote_on_fill: bool = knob(True, SWITCH, "1 asks the quote model at once after a fill or a rejection, too.")
    order_ttl_ms: float = knob(0.0, _MS, "Life of an order, from resting; 0 is good till cancelled.")
    refresh_interval_ms: float = knob(0.0, _MS, "Replace an order of this age though its price stands; 0 never does.")
    order_limit_10s: int = knob(100, whole(0, 10**9), "New orders the exchange takes in each ten seconds; 0: no limit.")
    order_limit_day: int = knob(
        200_000, whole(0, 10**9), "New orders the exchange takes in each day (UTC); 0: no limit."
    )


@dataclass(frozen=True, kw_only=True)
class Account:
    """What we own, what a trade costs, and the seed of every draw."""

    maker_fee_rate: str = knob("0.001", decimal("-1", "1"), "Fee of a resting order, as a share of its notional.")
    taker_fee_rate: str = knob("0.001", decimal("-1", "1"), "Fee of an order that takes, as a share of its notional.")
    initial_cash: str = knob("1000", decimal(None, "90000000000"), "Quote asset at the start.")
    initial_inventory: str = knob("0", decimal("-90000000000", "90000000000"), "Base asset at the start.")
    target_inventory: str | None = knob(
        None,
        decimal("-90000000000", "90000000000"),
        "Base asset that quotes, bounds and risk count from; without it the initial inventory.",
    )
    state_interval_ms: float = knob(1000.0, number(1, 1e10), "Between two rows of the state file.")
    seed: int = knob(0, whole(0, 2**63 - 1), "Key of every draw.")


@dataclass(frozen=True, kw_only=True)
class Models:
    """What quotes, and what decides that a quote is filled."""

    quote_model: str = knob("avellaneda_stoikov", _MODEL, "Quote model: a name, or package.module:Class.")
    quote_qty: str | None = knob(
        None, decimal("0.00000001"), "Quantity of a quote; without it the least that step and notional allow."
    )
    quote_params_json: str | None = knob(None, JSON_OBJECT, "The quote model's constructor arguments.")
    fill_model: str = knob("queue_prob_power", _MODEL, "Fill model: a name, or package.module:Class.")
    fill_params_json: str | None = knob(None, JSON_OBJECT, "The fill model's constructor arguments.")
    fill_params_file: Path | None = knob(
        None, PATH, "A poisson_fit.json or poisson_schedule.json; its content is an input of the run.", matters=False
    )
    fill_per_side: bool = knob(False, SWITCH, "1 uses the sides' own A and k of the fit.")
    fit_draws: int = knob(
        0,
        whole(0, 1000),
        "Backtests more, each with an A and k that the fit allows: the band of the PnL.",
        matters=True,
    )

    def __post_init__(self) -> None:
        if self.fill_params_json is not None and self.fill_params_file is not None:
            raise UsageError(
                f"--fill-params-file (FILL_PARAMS_FILE) {str(self.fill_params_file)!r} and --fill-params-json "
                f"(FILL_PARAMS_JSON) {self.fill_params_json!r} were both given; give one of them"
            )

    def quote_params(self) -> dict[str, Any]:
        """Return QUOTE_PARAMS_JSON as a dict; empty where it was not given."""
        return dict(json.loads(self.quote_params_json or "{}"))

    def fill_params(self) -> dict[str, Any]:
        """Return FILL_PARAMS_JSON as a dict; empty where it was not given."""
        return dict(json.loads(self.fill_params_json or "{}"))


@dataclass(frozen=True, kw_only=True)
class Honesty:
    """Whether the sensitivity is measured: the same strategy under kinder and harsher assumptions."""

    honesty: bool | None = knob(
        None,
        SWITCH,
        "Sensitivity: 1 plays it also with optimistic and pessimistic fills, and at 0.5 and 2 times the latency; "
        "without it that is done where no model of yours in Python is played.",
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a day becomes points of distance, exposure and fills."""

    calib_method: str = knob("marks", one_of("ladder", "fixed", "marks"), "How exposure is made.", flag="--method")
    calib_deltas: tuple[float, ...] = knob(
        (1.0, 2.0, 3.0, 5.0, 8.0, 13.0), numbers(0, 1e6), "Distances of ladder and fixed, in ticks.", flag="--deltas"
    )
    calib_dwell_ms: float = knob(60000.0, number(1, 1e10), "How long the ladder holds one distance.", flag="--dwell-ms")
    calib_mid_move_threshold_ticks: float = knob(
        2.0, number(0, 1e6), "How far the reference moves until a calibration quote follows."
    )
    calib_reference: str = knob("mid", one_of("mid", "micro", "best"), "Price that distances count from.")
    calib_hit: str = knob("touch", one_of("touch", "strict"), "A print at the price fills, or only one beyond it.")
    calib_order_qty: str = knob("0", decimal("0", "90000000000"), "Quantity that a sweep must bring to hit; 0 for any.")
    calib_queue_ahead: float = knob(0.0, number(0, 1), "Share of what is displayed at the price that fills first.")
    calib_sweeps: bool = knob(True, SWITCH, "1 takes the prints of one side and trade time for one aggressive order.")
    calib_distance: str = knob(
        "current", one_of("current", "anchor"), "Reference of a simulated order's distance: as it is, or as anchored."
    )


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How points become A and k."""

    fit_method: str = knob("poisson_mle", one_of("poisson_mle", "poisson_firth", "log_linear"), "Estimator.")
    min_exposure_s: float = knob(5.0, number(0, 1e10), "Least exposure of a distance that is used, in s.")
    min_usable_deltas: int = knob(3, whole(2, 1000), "Least number of distances of a usable fit.")
    max_delta_ticks: float | str | None = knob(
        "auto", number_or("auto", 0, 1e9), "Largest distance that is used, in ticks; auto: as far as the flow reaches."
    )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The rolling windows of schedules and walk-forwards."""

    wf_train_window_min: float = knob(120.0, number(0.01, 1e6), "Length of a training window, in minutes.")
    wf_step_min: float = knob(15.0, number(0.01, 1e6), "From one window to the next, in minutes.")
    fallback_policy: str = knob(
        "carry_forward",
        one_of("carry_forward", "global_default", "skip_segment"),
        "What stands in for a window whose fit is not usable.",
    )
    fallback_max_age_min: float | None = knob(None, number(0, 1e6), "Age in minutes up to which a fit is carried.")
    schedule_mode: str = knob(
        "rolling", one_of("rolling", "expanding", "ewma", "pooled_k", "static"), "How windows share their past."
    )
    schedule_half_life_min: float = knob(30.0, number(0.01, 1e6), "Age in minutes at which data weighs half.")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Which backtests a sweep plays, where, and what it makes of them."""

    grid: str = knob(
        REQUIRED,
        GRID,
        "An axis: a knob's variable or a model's parameter, and its values; again for more axes, or parted by ;.",
        joined=";",
    )
    grid_unfit: str = knob(
        "refuse",
        one_of("refuse", "leave_out"),
        "Where a model of the grid has no such parameter: refuse the grid, or leave the axis out of its points.",
    )
    rank_by: str = knob(
        "sharpe",
        one_of("sharpe", "sharpe_autocorr", "sortino", "calmar", "pnl_total", "psr", "deflated_sharpe", "max_drawdown"),
        "What orders the table.",
    )
    sweep_walkforward: bool = knob(
        False, SWITCH, "1 plays each point on a schedule of rolling fits, too; the schedule is fitted once."
    )
    jobs: int | None = knob(
        None,
        whole(1, 1024),
        "Processes side by side; without it one for each core, and 1 plays in this process.",
        matters=False,
    )
    cluster: str | None = knob(
        None,
        matching(r"(tcp|tls|ws|wss)://[^/\s]+:\d+", "the address of a Dask scheduler, such as tcp://host:8786", "URL"),
        "Play on the workers of this Dask scheduler, which must see the same DATA_ROOT and OUT_ROOT.",
        matters=False,
    )
    reuse_points: bool = knob(True, SWITCH, "0 plays also what an earlier sweep has played and kept.", matters=False)
    keep_runs: str = knob(
        "none",
        one_of("none", "best", "all"),
        "Points that are played again as backtests with a run folder of their own.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What of the exchange's streams a day holds."""

    top_n: int = knob(20, whole(1, 5000), "Levels of a side in a frame.")
    trade_stream: str | None = knob("trade", one_of("trade", "aggTrade"), "Trade stream.")


@dataclass(frozen=True, kw_only=True)
class Recorder(Streams):
    """How a day is recorded."""

    ws_url: str = knob("wss://stream.binance.com:9443", base_url("ws", "wss"), "Base of the streams.", matters=False)
    rest_url: str = knob("https://api.binance.com", base_url("http", "https"), "Base of REST.", matters=False)
    snapshot_limit: int = knob(5000, whole(1, 5000), "Levels of a side asked for in a snapshot.")
    flush_interval_s: float = knob(5.0, number(0.01, 3600), "Longest time until a row is on disk.")
    window_start: str = knob(
        "08:00", matching(r"([01]\d|2[0-3]):[0-5]\d|always", "HH:MM or always", "HH:MM"), "When recording begins."
    )
    window_end: str = knob(
        "22:00", matching(r"([01]\d|2[0-3]):[0-5]\d|24:00", "HH:MM", "HH:MM"), "When recording ends."
    )
    window_tz: str = knob("Europe/Berlin", ZONE, "Time zone of the window and of the day.")
    write_diffs: bool = knob(True, SWITCH, "Keep the raw depth messages.")
    write_gaps: bool = knob(True, SWITCH, "Keep the ledger of gaps.")
    metrics_port: int = knob(
        0, whole(0, 65535), "Port of a Prometheus page, the next ones for further symbols; 0: none.", matters=False
    )
    metrics_host: str = knob(
        "127.0.0.1", matching(r"[\w.:-]+", "an address"), "Address at which that page is served.", matters=False
    )
    start_jitter_s: float = knob(5.0, number(0, 3600), "Longest random delay before the first connection.")
    min_free_mb: float = knob(200.0, number(0, 1e9), "Free disk space, in MB, under which a recording ends (75).")
    ws_max_age_s: float = knob(84600.0, number(1, 86400), "Age at which a connection is replaced.")
    ws_pair: bool = knob(False, SWITCH, "Record over two connections at a time, made one.")
    depth_silence_s: float = knob(
        3.0,
        number(0.1, 3600),
        "Silence of depth that counts as a stall, and of trades after which REST is asked for the last one.",
    )
    backoff_max_s: float = knob(30.0, number(0.01, 3600), "Longest wait between two attempts to connect.")


GROUPS: tuple[type, ...] = (
    Day,
    Output,
    Market,
    Execution,
    Account,
    Models,
    Honesty,
    Calibration,
    Fit,
    Windows,
    Sweep,
    Recorder,
)
