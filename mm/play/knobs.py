"""The knobs of a backtest, in groups of which a command takes what it needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mm.base.common_knobs import data_root_knob, day_knob, symbol_knob
from mm.base.knobs import (
    FIT,
    JSON_OBJECT,
    OTHERS,
    PATH,
    SWITCH,
    day_list,
    decimal,
    integer,
    knob,
    matching,
    one_of,
)
from mm.errors import UsageError

EXPONENT_FILE = "_queue_exponent.json"  # end of the name of a file that mm fills fit writes

MODEL = (r"\w+|[\w.]+:\w+", "a model's name, or package.module:Class", "MODEL")


@dataclass(frozen=True, kw_only=True)
class Source:
    """The symbol, and the folder of its recorded days."""

    symbol: str = symbol_knob()
    data_root: Path = data_root_knob()

    def folder(self, day: str) -> Path:
        return self.data_root / self.symbol / day


@dataclass(frozen=True, kw_only=True)
class Results:
    """The folder of results."""

    out_root: Path = knob(
        Path("out"),
        PATH,
        "Folder of the run folders and of the tape cache.",
        matters=False,
        common="Folder of the runs",
    )

    @property
    def tapes(self) -> Path:
        return self.out_root / "tapes"


_STEPS = ("0.00000001", "1000000000")  # in 1e-8 they fit into 64 bits


@dataclass(frozen=True, kw_only=True)
class Pages:
    """How pages contain the library of their charts."""

    plotlyjs: str = knob(
        "inline",
        one_of("inline", "directory"),
        "Whether each page contains plotly's JavaScript (2 MB), or OUT_ROOT has one copy, without which no page draws.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class DamagedDay:
    """Handling of a sealed day that differs from its manifest."""

    damaged: bool = knob(
        False, SWITCH, "1 uses the remaining data of a damaged day, and lists what is excluded; 0 refuses the day."
    )


@dataclass(frozen=True, kw_only=True)
class OpenedDay:
    """Whether days that are held out are opened."""

    open_held_out: bool = knob(
        False,
        SWITCH,
        "1 opens days that are held out (mm data hold): that is written down, and printed with every later number.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class Day(OpenedDay, DamagedDay, Pages, Results, Source):
    """The days of a run, and its folder; several symbols make one run each."""

    symbol: str = symbol_knob("Symbol, in any case; or a list: one run per symbol.", many=True)
    day: str = day_knob(
        "YYYYMMDD, a list 20251216,20251217 or a range 20251216:20251220.",
        many=True,
        common="YYYYMMDD, a list, or a range FIRST:LAST",
    )
    out_dir: Path | None = knob(None, PATH, "Folder of the run, instead of one under OUT_ROOT.", matters=False)
    own_orders: str = knob(
        "auto",
        matching(r"\S.*", "auto, keep, or a path", "PATH", "path"),
        "auto takes the orders of the trades that recorded a day off it, by their audit logs in OUT_ROOT; keep leaves "
        "them in; or a log or folder of logs, whose orders are taken off.",
    )

    @classmethod
    def like(cls, given: Any, symbol: str, day: str) -> Self:
        """Days beside other knobs: same folders, and same handling of damaged and held-out days."""
        return cls(
            symbol=symbol,
            day=day,
            data_root=given.data_root,
            out_root=given.out_root,
            damaged=given.damaged,
            open_held_out=given.open_held_out,
        )

    def days(self) -> tuple[str, ...]:
        return day_list(self.day)

    def label(self) -> str:
        days = self.days()
        return days[0] if len(days) == 1 else f"{days[0]}-{days[-1]}"


@dataclass(frozen=True, kw_only=True)
class TradeAgain:
    """The trade that a backtest plays again."""

    as_traded: str | None = knob(
        None,
        matching(r"\S.*", "the RUN_ID or the folder of a trade", "TRADE", "run"),
        "Trade that recorded the day: it is played at the instants of this run, in its latencies, from its account.",
    )
    traded_fills: bool = knob(
        True, SWITCH, "With AS_TRADED: 1 plays the trade's own fills and reports on orders, 0 those of the fill model."
    )


NOT_AGAIN = TradeAgain()


@dataclass(frozen=True, kw_only=True)
class Market:
    """Steps and minimum of our orders; by default as in the day's instrument.json."""

    tick_size: str | None = knob(None, decimal(*_STEPS), "Tick size: price step, in the quote asset.")
    qty_step: str | None = knob(None, decimal(*_STEPS), "Quantity step of our orders, in the base asset.")
    min_notional: str | None = knob(
        None, decimal("0", "90000000000"), "Minimum notional of our orders, in the quote asset."
    )


@dataclass(frozen=True, kw_only=True)
class OtherMarkets:
    """Other markets that the strategy sees, and may send orders to."""

    others: str | None = knob(
        None,
        OTHERS,
        "Other markets: SYMBOL or NAME=SYMBOL, a list, or JSON by name: symbol, data_root, feed_latency_ms, orders.",
        common="Other markets that the strategy sees",
    )

    def declared(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(self.others or "{}"))


NO_OTHERS = OtherMarkets()


@dataclass(frozen=True, kw_only=True)
class OneAccount:
    """Whether several symbols trade on the balances of one account."""

    one_account: bool = knob(
        False,
        SWITCH,
        "1 plays the symbols of a list together, on the balances of one account; 0 plays each for itself.",
        common="1 plays a list of symbols on one account",
    )

    @staticmethod
    def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
        """Symbols in alphabetical order: another order is no other account."""
        symbols = (params.get("symbol") or "").split(",")
        return {"symbol": ",".join(sorted(symbols))} if params["one_account"] and len(symbols) > 1 else {}


@dataclass(frozen=True, kw_only=True)
class PerSymbol:
    """Knobs that differ between the symbols of a list."""

    per_symbol: str | None = knob(
        None,
        JSON_OBJECT,
        'Knobs of strategy and limits for single symbols: {"ETHUSDT": {"QUOTE_QTY": "0.1", "MAX_POSITION": "2"}}.',
    )


@dataclass(frozen=True, kw_only=True)
class Models:
    """The quote model, the fill model and their parameters."""

    quote_model: str = knob(
        "avellaneda_stoikov",
        matching(*MODEL, completes="quote_model"),
        "Quote model: a name, or package.module:Class; mm models lists them.",
        common="Quote model (mm models)",
    )
    quote_qty: str | None = knob(
        None,
        decimal("0.00000001", "10000000000"),
        "Quantity of a quote; without it the smallest that reaches the minimum notional at 0.9 of the first mid.",
        common="Quantity of a quote, in the base asset",
    )
    quote_levels: int = knob(
        1, integer(1, 1_000), "Number of orders per side: one at the quoted price, the others farther from the mid."
    )
    level_step_ticks: int = knob(1, integer(1, 10**6), "Distance from one of them to the next, in ticks.")
    quote_params_json: str | None = knob(
        None, JSON_OBJECT, "Parameters of the quote model.", common="Parameters of the quote model"
    )
    fill_model: str = knob(
        "queue_prob_power",
        matching(*MODEL, completes="fill_model"),
        "Fill model: a name, or package.module:Class; mm models lists them.",
        common="Fill model (mm models)",
    )
    fill_params_json: str | None = knob(
        None, JSON_OBJECT, "Parameters of the fill model.", common="Parameters of the fill model"
    )
    fill_params_file: Path | None = knob(
        None,
        FIT,
        "Fit or schedule: a file, the RUN_ID of a calibration, or last: the newest one of the symbol that is usable.",
        matters=False,
        common="Fit or schedule: file, RUN_ID or last",
        alias="--fit",
    )
    fill_per_side: bool = knob(False, SWITCH, "1 uses separate A and k per side of the fit.")
    fit_draws: int = knob(
        0,
        integer(0, 1000),
        "Number of further backtests with A and k drawn from the distribution of the fit, for the band of the PnL.",
        matters=True,
    )
    trust: str | None = knob(
        None,
        matching(r"[^,]+(,[^,]+)*", "a list of files", "FILE,FILE,…"),
        "Files of Python code that a fit, a predictor or an agent may name; code named only by a file is not run.",
        matters=False,
    )

    def __post_init__(self) -> None:
        if self.fill_params_json is not None and self.fill_params_file is not None:
            raise UsageError(
                "{fill_params_file} {!r} and {fill_params_json} {!r} were both given; give one of them",
                str(self.fill_params_file),
                self.fill_params_json,
            )

    def trusted(self) -> tuple[str, ...]:
        return tuple(self.trust.split(",")) if self.trust else ()

    def quote_params(self) -> dict[str, Any]:
        return dict(json.loads(self.quote_params_json or "{}"))

    def fill_params(self) -> dict[str, Any]:
        return dict(json.loads(self.fill_params_json or "{}"))


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Whether the strategy is also run under optimistic and pessimistic assumptions."""

    sensitivity: bool | None = knob(
        None,
        SWITCH,
        "Sensitivity: 1 also runs with optimistic and pessimistic fills, and with 0.5 and 2 times the latency; "
        "default: 1.",
        alias="--honesty",
    )
    bounds: bool | None = knob(
        None,
        SWITCH,
        "Bounds: 1 also plays a queue model's quotes with every cancellation ahead of our orders (queue_front), and "
        "with none (queue_back); default: 1.",
    )
    queue_exponent_file: Path | None = knob(
        None,
        PATH,
        "Result of mm fills fit: the sensitivity also plays this exponent of queue_prob_power; default: the one of the "
        "symbol's last day before the run, else of its last day, in OUT_ROOT/fills.",
        matters=False,
    )

    stress_moves: str | None = knob(
        None,
        matching(r"-?[0-9.eE+-]+,[0-9.eE+-]+", "a fall and a rise", "DOWN,UP"),
        "Largest moves of the mid within a minute, as shares of it, that the sensitivity puts into the run at its "
        "largest inventory; default: the largest of the symbol's days that runs below OUT_ROOT have played.",
        matters=False,
    )

    @staticmethod
    def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
        """The symbol's worst moves on record, for a report that plays them later, and its own queue exponent."""
        from mm.trials.moves import WorstMoves, moves_on_record

        root, symbol = params.get("out_root") or Path("out"), params.get("symbol") or ""
        moves = {} if params["stress_moves"] is not None else moves_on_record(root, symbol)
        found = {"stress_moves": str(WorstMoves.worst(moves.values()))} if moves else {}
        return found | Sensitivity._exponent(params, root / "fills" / symbol)

    @staticmethod
    def _exponent(params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        if params["queue_exponent_file"] is not None or params["fill_model"] != "queue_prob_power":
            return {}
        known = sorted(folder.glob(f"*{EXPONENT_FILE}"))
        first = day_list(params["day"])[0]
        return {"queue_exponent_file": max(known, key=lambda path: (path.name < first, path.name))} if known else {}
