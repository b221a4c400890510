"""Knobs of single kinds of tasks, and the list of all groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import Output, data_root_knob, day_knob, symbol_knob
from mm.base.knobs import (
    GRID,
    PATH,
    REQUIRED,
    SWITCH,
    ZONE,
    base_url,
    day_list,
    integer,
    knob,
    knobs,
    matching,
    number,
    one_of,
)
from mm.cli.config import Doors, OrdersFile
from mm.dayfolder.held_out import held_days, held_of
from mm.errors import Sentence, UsageError, parameter
from mm.markets.registry import DEFAULT, MARKETS
from mm.play.calibration_knobs import Calibration, Fit, Windows
from mm.play.knobs import (
    DamagedDay,
    Day,
    Market,
    Models,
    OneAccount,
    OpenedDay,
    OtherMarkets,
    Pages,
    PerSymbol,
    Results,
    Sensitivity,
    Source,
    TradeAgain,
)

if TYPE_CHECKING:
    from mm.base.doors import Door, Report


@dataclass(frozen=True, kw_only=True)
class Sources(Source):
    """The symbols to record, and the folder of their days."""

    symbol: str = symbol_knob("Symbol, in any case, or a list.", many=True)


@dataclass(frozen=True, kw_only=True)
class PageKnobs(Pages, Results):
    """What to draw, and into which file."""

    data_root: Path | None = data_root_knob(
        "Folder of the day folders, if not where the run read them.", None, common=""
    )
    sensitivity: bool = knob(
        True,
        SWITCH,
        "1 plays a backtest again, also under other fills and latencies; 0 draws what was written.",
        alias="--honesty",
    )
    report_file: Path | None = knob(
        None, PATH, "Where to write the page; without it report.html in the run's folder.", flag="--out", matters=False
    )


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The grid of a sweep, and its ranking."""

    grid: str = knob(
        REQUIRED,
        GRID,
        "An axis: a knob's variable or a model's parameter, and its values; repeat it, or separate axes by ;.",
        joined=";",
        common="An axis and its values; may be repeated",
    )
    grid_unfit: str = knob(
        "refuse",
        one_of("refuse", "leave_out"),
        "For a model without the parameter of an axis: refuse the grid, or leave the axis out of its points.",
    )
    rank_by: str = knob(
        "pnl_lower95",
        one_of("pnl_lower95", "pnl_quoting", "max_drawdown", "bound"),
        "Metric by which designs are ranked, each by its worst fill assumption; bound: the least PnL at the back and "
        "in front of every queue, and as chosen.",
        common="Metric by which points are ranked",
    )
    search: int | None = knob(
        None,
        integer(2, 100_000),
        "Number of designs that Optuna chooses, instead of every point; an axis may then be a range LOW..HIGH.",
        common="Number of designs to search, instead of a grid",
    )
    search_holdout: float = knob(
        0.3, number(0, 0.9), "Share of the days, the last ones, that a search does not see; the best are played there."
    )
    sweep_walkforward: bool = knob(
        False,
        SWITCH,
        "1 also runs each point on a schedule of rolling fits; the schedule is fitted once.",
        common="Also run each point walk-forward",
    )
    keep_runs: str = knob(
        "none",
        one_of("none", "best", "all"),
        "Points that are repeated as backtests with their own run folder.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """Whether a queue model is also played at both bounds."""

    bounds: bool = knob(
        True,
        SWITCH,
        "Bounds: 1 also plays each day of a queue model in front and at the back of every queue.",
    )


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where the backtests of a sweep or an evaluation run."""

    jobs: int | None = knob(
        None,
        integer(1, 1024),
        "Number of processes; default: one per core; 1 plays one point after another in this process.",
        matters=False,
        common="Number of processes",
    )
    cluster: str | None = knob(
        None,
        matching(r"(tcp|tls|ws|wss)://[^/\s]+:\d+", "the address of a Dask scheduler, such as tcp://host:8786", "URL"),
        "Dask scheduler whose workers play; they need the same DATA_ROOT and OUT_ROOT, or an OBJECT_STORE.",
        matters=False,
    )
    object_store: str | None = knob(
        None,
        matching(r"[a-z][a-z0-9+.-]*://\S+", "a URL that fsspec opens, such as s3://bucket/folder", "URL"),
        "Object store from which the workers of CLUSTER fetch tapes, models and files if they share no disk.",
        matters=False,
    )
    reuse_points: bool = knob(
        True, SWITCH, "0 also runs the backtests that are stored from an earlier run.", matters=False
    )


@dataclass(frozen=True, kw_only=True)
class ManyDays(Day):
    """The days and symbols of an evaluation, each played on its own."""

    symbol: str = symbol_knob("Symbol, in any case; or a list.", many=True)
    day: str = day_knob(  # None only before it is resolved
        "YYYYMMDD, a list 20251216,20251217 or a range 20251216:20251220; not needed with HELD_OUT.",
        None,
        many=True,
        common="YYYYMMDD, a list, or a range FIRST:LAST",
    )
    held_out: bool = knob(
        False, SWITCH, "1 plays all days of the symbols that are held out, and opens them.", matters=False
    )

    @staticmethod
    def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
        if not params["held_out"]:
            return {}
        symbols, root, among = str(params["symbol"]).split(","), params["data_root"], params["day"]
        every = {day for symbol in symbols for day in held_of(root, symbol, held_days(root).get(symbol, ()))}
        held = sorted(every if among is None else every & set(day_list(among)))
        return {"day": ",".join(held) or None, "open_held_out": True}

    def played(self) -> list[tuple[str, str]]:
        if self.day is None:
            if self.held_out:
                raise UsageError(f"no day of {self.symbol} is held out below {self.data_root}; mm data hold marks days")
            raise UsageError(Sentence("{day} is missing; give a day, a list or a range, or {held_out}"))
        pairs = [(symbol, day) for day in self.days() for symbol in self.symbol.split(",")]
        if not self.held_out:
            return pairs
        return [(symbol, day) for symbol, day in pairs if held_of(self.data_root, symbol, [day])]


@dataclass(frozen=True, kw_only=True)
class SignalColumns:
    """The signals to compute."""

    signals: str | None = knob(
        None,
        matching(r"[\w.:/+-]+(,[\w.:/+-]+)*", "a list of signals; mm signals list has their names", "NAME,NAME,…"),
        "Signals to compute, one column each; without it the default ones (mm signals list).",
        common="Signals, a list (mm signals list)",
    )


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Training of an agent."""

    episodes: int = knob(100, integer(1, 10**9), "Number of training episodes.", common="Number of training episodes")
    timesteps: int | None = knob(
        None, integer(1, 10**12), "Training decisions, instead of EPISODES.", common="Decisions, instead of episodes"
    )
    save_path: Path = knob(
        Path("out/models/rl_mm_agent"),
        PATH,
        "File of the agent: <SAVE_PATH>.zip.",
        matters=False,
        common="File of the agent, without .zip",
    )
    reward: str = knob("spread_inventory", one_of("pnl", "spread_inventory", "utility"), "Reward of a decision.")
    reward_weight: float | None = knob(None, number(0, 1e6), "φ or γ of the reward; default: the reward's own.")
    decision_s: float = knob(1.0, number(0.001, 1e6), "Time between two decisions.")
    episode_s: float = knob(600.0, number(0.001, 1e6), "Covered time of an episode.")
    discrete_actions: bool = knob(False, SWITCH, "1: the action is one of 75; 0: it is offsets and size.")


@dataclass(frozen=True, kw_only=True)
class TrainedAgent:
    """The agent that is evaluated."""

    model_path: Path = knob(REQUIRED, PATH, "The agent: a zip of mm rl train.", common="The agent, a zip")


@dataclass(frozen=True, kw_only=True)
class HeldOutDays(OpenedDay, DamagedDay, Results, Source):
    """The days that an agent is evaluated on; by default the days of its symbol that it was not trained on."""

    symbol: str | None = symbol_knob("Symbol of the days; without it the agent's.", None, common="")  # type: ignore[assignment]
    day: str | None = day_knob(
        "Days: one, a list or a range; without it every recorded day that it was not trained on.", None, many=True
    )


@dataclass(frozen=True, kw_only=True)
class Refereed:
    """Comparison of a trainer with a closed form."""

    seeds: int = knob(10, integer(1, 1000), "Number of trained agents, one seed each.", common="Agents, one seed each")
    referee_timesteps: int = knob(480_000, integer(1, 10**12), "Number of training decisions of each.")


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The streams of a day."""

    top_n: int = knob(20, integer(0, 5000), "Levels per side in a frame; 0 writes no frames.")
    trade_stream: str | None = knob("trade", one_of("trade", "aggTrade"), "Trade stream.", common="Trade stream")


@dataclass(frozen=True, kw_only=True)
class BinanceMarket:
    """The market that is recorded, fetched or traded."""

    market: str = knob(
        DEFAULT.name,
        one_of(*MARKETS),
        "Binance's Spot or USD-M futures, Bybit's linear contracts or Spot; the default of mm data fetch is usdm.",
        common="spot, usdm, bybit, bybit-spot",
    )


@dataclass(frozen=True, kw_only=True)
class PublicFiles:
    """The files that exchanges publish: Binance (data.binance.vision) and Bybit."""

    sha256: str | None = knob(
        None,
        matching(r"[0-9a-fA-F]{64}(,[0-9a-fA-F]{64})*", "a sha256 in hex, or several with commas", "HEX"),
        "Required hashes of the files, in addition to those that the server publishes.",
        joined=",",
        common="Hash that a file must have",
    )
    fetch_url: str = knob(
        "https://data.binance.vision", base_url("http", "https"), "Base URL of the published files.", matters=False
    )
    bybit_book_archive: str = knob(
        "https://quote-saver.bycsi.com",
        base_url("http", "https"),
        "Base URL of Bybit's archive of books.",
        matters=False,
    )
    bybit_trades_archive: str = knob(
        "https://public.bybit.com", base_url("http", "https"), "Base URL of Bybit's archive of prints.", matters=False
    )
    bybit_rest: str = knob(
        "https://api.bybit.com",
        base_url("http", "https"),
        "Base URL of Bybit's REST interface: instrument, funding and mark prices.",
        matters=False,
    )
    max_download_mb: float = knob(2000.0, number(0.001, 1e6), "Maximum size of a file, in MB.", matters=False)


SPOT_STREAMS, SPOT_REST = "wss://stream.binance.com:9443", "https://api.binance.com"


@dataclass(frozen=True, kw_only=True)
class Recorder(Doors, Streams):
    """Recording of a day."""

    ws_url: str = knob(
        SPOT_STREAMS,
        base_url("ws", "wss"),
        "Base URL of the streams; for MARKET=usdm wss://fstream.binance.com.",
        matters=False,
        common="Base URL of the streams",
    )
    rest_url: str = knob(
        SPOT_REST,
        base_url("http", "https"),
        "Base URL of REST; for MARKET=usdm https://fapi.binance.com.",
        matters=False,
    )
    snapshot_limit: int = knob(5000, integer(1, 5000), "Levels per side of a snapshot; at most 1000 for USD-M.")
    book_depth: int | None = knob(
        None,
        integer(1, 10_000),
        "Levels per side of the book's stream, where a market has several: of Bybit 50, 200 (default), 1000.",
    )
    flush_interval_s: float = knob(5.0, number(0.01, 3600), "Maximum time until a row is on disk, in s.")
    window_start: str = knob(
        "08:00",
        matching(r"([01]\d|2[0-3]):[0-5]\d|always", "HH:MM or always", "HH:MM"),
        "Start of recording.",
        common="Start of recording, HH:MM or always",
    )
    window_end: str = knob(
        "22:00",
        matching(r"([01]\d|2[0-3]):[0-5]\d|24:00", "HH:MM", "HH:MM"),
        "End of recording.",
        common="End of recording",
    )
    window_tz: str = knob(
        "Europe/Berlin", ZONE, "Time zone of the window and of the day.", common="Time zone of the window"
    )
    write_diffs: bool = knob(True, SWITCH, "1 stores the raw depth messages.")
    write_gaps: bool = knob(True, SWITCH, "1 stores the ledger of gaps.")
    contract_data: bool = knob(
        True,
        SWITCH,
        "1 stores mark and index price, next funding, liquidations, open interest and best prices (USD-M).",
    )
    metrics_port: int = knob(
        0,
        integer(0, 65535),
        "Port of a Prometheus page, the next ports for further symbols; 0: none.",
        matters=False,
        common="Port of a Prometheus page",
    )
    metrics_host: str = knob(
        "127.0.0.1", matching(r"[\w.:-]+", "an address"), "Address of the Prometheus page.", matters=False
    )
    symbols_per_process: int = knob(
        50, integer(1, 1000), "Maximum number of symbols of a list that one process records.", matters=False
    )
    start_jitter_s: float = knob(5.0, number(0, 3600), "Maximum random delay before the first connection, in s.")
    min_free_mb: float = knob(200.0, number(0, 1e9), "Free disk space, in MB, below which recording ends (exit 75).")
    ws_max_age_s: float = knob(84600.0, number(1, 86400), "Age at which a connection is replaced, in s.")
    ws_pair: bool = knob(False, SWITCH, "1 records over two connections at once and merges them.")
    depth_silence_s: float = knob(
        3.0,
        number(0.1, 3600),
        "Time without depth messages that counts as a stall, or without trades until REST is queried, in s.",
    )
    backoff_max_s: float = knob(30.0, number(0.01, 3600), "Maximum wait between two connection attempts, in s.")

    def metrics_door(self, report: "Report") -> "Door":
        return self.door(self.metrics_host, parameter("metrics_host"), report)


GROUPS: tuple[type, ...] = (
    Day,
    Output,
    Market,
    Execution,
    Account,
    Margin,
    OneAccount,
    PerSymbol,
    AccountTerms,
    TradeAgain,
    Models,
    OtherMarkets,
    Risk,
    Sensitivity,
    OrdersFile,
    Calibration,
    Fit,
    Windows,
    Sweep,
    Workers,
    SignalColumns,
    Learning,
    TrainedAgent,
    Refereed,
    Recorder,
    BinanceMarket,
    PublicFiles,
)


def knobs_without_effect() -> frozenset[str]:
    """Return the names of the knobs that change no result."""
    return frozenset(knob.name for group in GROUPS for knob in knobs(group) if not knob.matters)
