"""A finished run in Python: its numbers, frames and charts, read from its folder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.io import read_orders, read_table, rows_of
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.backtest.metrics.markouts import HORIZONS_S
from mm.backtest.metrics.numbers import Summary
from mm.backtest.own_series import own_series_frame, read_own_series
from mm.backtest.summary_text import tried_of
from mm.base.knobs import day_list
from mm.base.notebook import Picture, Shown
from mm.calibration.fit_result import PoissonFit
from mm.calibration.points import Points, read_points
from mm.calibration.schedule import Schedule
from mm.clock import US_PER_MS, US_PER_S
from mm.errors import BrokenFile, DataError, UsageError
from mm.report.as_of_now import as_of_now, home_of
from mm.report.contents import BACKTEST, EVALUATION, FIT, POINTS, SCHEDULE, SERIES, SUMMARY, SWEEP, read_content
from mm.report.evaluation import headline, read_evaluation
from mm.report.frame import boxed
from mm.report.run_columns import RunColumns, account_columns, market_of, read_columns
from mm.report.sweep import read_series, read_sweep
from mm.runs.manifest import ACCOUNTS, headlines, shown
from mm.tape.frames import SIDES, frame, instants

if TYPE_CHECKING:
    import polars as pl

    from mm.tape.tape import Tape

TRADED = {"backtest": "", "account": "", "account_walkforward": "", "shadow": "", "trade": "", "walkforward": BACKTEST}
"""The folder of the orders, by kind of run."""
LACKS = (OSError, ValueError, LookupError, TypeError)  # of a file that another version or a damaged disk left


@dataclass(frozen=True, repr=False)
class RunFolder(Shown):
    """A finished run of any kind, read from its folder.

    *account* names all symbols of the account that this is a part of, ``AUSDT+BUSDT``.
    """

    folder: Path
    manifest: dict[str, Any]
    account: str = ""

    @property
    def run_id(self) -> str:
        """Its RUN_ID."""
        return str(self.manifest["run_id"])

    @property
    def name(self) -> str:
        """Its RUN_ID; ``RUN_ID/SYMBOL`` for a symbol's part in an account."""
        return f"{self.run_id}/{self.symbol}" if self.account else self.run_id

    @property
    def symbol(self) -> str:
        """Its symbol, upper case."""
        return str(self.manifest["symbol"])

    @property
    def kind(self) -> str:
        """The kind of run: ``backtest``, ``calibration``, ``sweep``, …"""
        return str(self.manifest["kind"])

    @property
    def knobs(self) -> dict[str, Any]:
        """Every knob and its value."""
        return {name: knob["value"] for name, knob in self.manifest["knobs"].items()}

    def knob(self, name: str) -> Any:
        """Return the value of a knob; None if the run's command has no such knob."""
        return self.manifest["knobs"].get(name, {}).get("value")

    def days(self) -> tuple[str, ...]:
        """Return the requested days, each YYYYMMDD."""
        try:
            return day_list(str(self.knob("day")))
        except ValueError:
            return tuple(str(self.manifest["day"]).split("-"))

    def log_file(self) -> Path:
        """Return the path of the run's log, which may have been removed since."""
        out_root = Path(self.knob("out_root") or "out")
        root = Path(self.knob("log_root") or out_root / "logs")
        method = (self.knob("calib_method"),) if self.kind == "calibration" else ()
        return root.joinpath(self.kind, *method, self.symbol, str(self.manifest["day"]), self.run_id, "run.log")

    @property
    def has_traded(self) -> bool:
        """Whether it has orders, fills and state; a walk-forward without a usable segment has none."""
        return self.kind in TRADED and self.traded.is_dir()

    def check_traded(self) -> None:
        """Raise DataError if it lacks the files of a backtest."""
        if not (self.has_traded and (self.traded / SUMMARY).is_file()):
            raise DataError(
                f"{self.folder}: a run of the kind {self.kind} without the files of a backtest; mm runs list --kind "
                f"backtest shows runs that have them, and mm backtest plays a day of it"
            )

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of a run of one account; empty for another run."""
        return tuple(self.manifest["symbol"].split("+")) if self.kind in ACCOUNTS.values() and not self.account else ()

    def part(self, symbol: str) -> "RunFolder":
        """Return a symbol's part in a run of one account, as a backtest of it; UsageError if there is none."""
        if symbol not in self.symbols:
            known = f"it has {', '.join(self.symbols)}" if self.symbols else "it is of one symbol"
            raise UsageError(f"{self.folder}: there is no part {symbol!r} in it: {known}")
        given = json.loads(self.knob("per_symbol") or "{}").get(symbol, {})
        own = {name.lower(): {"value": value, "source": "per_symbol"} for name, value in given.items()}
        return RunFolder(
            self.folder,
            {**self.manifest, "symbol": symbol, "knobs": {**self.manifest["knobs"], **own}},
            account=self.symbol,
        )

    def check_single(self) -> None:
        """Raise UsageError if it is of several symbols on one account."""
        if self.symbols:
            ways = " or ".join(f"{self.run_id}/{symbol}" for symbol in self.symbols)
            raise UsageError(
                f"{self.folder} is of {len(self.symbols)} symbols on one account, and this is of one symbol; give one "
                f"of its parts: {ways} (in Python run.part({self.symbols[0]!r})); mm report shows the sum, and "
                f"mm compare compares accounts among themselves"
            )

    @property
    def traded(self) -> Path:
        """The folder of its orders, fills and state; UsageError if this kind has none."""
        self._must_be("orders, fills and state", *TRADED)
        return self.folder / TRADED[self.kind]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers of ``summary.json``; without a backtest, the manifest's."""
        if not self.has_traded:
            return dict(self.manifest["summary"])
        content = read_content(self.traded / SUMMARY)
        return content["symbols"][self.symbol] if self.account else content

    @property
    def now(self) -> dict[str, Any]:
        """The summary of a backtest beside what was tried on its days since, below its OUT_ROOT."""
        return as_of_now(self.summary, home_of(self.folder, self.knob("out_root"))) if self.has_traded else {}

    @cached_property
    def fit(self) -> "PoissonFit":
        """The fit of a calibration, with its points; UsageError for another kind of run."""

        self._must_be("fit", "calibration")
        fit = PoissonFit.from_json(read_content(self.folder / FIT), str(self.folder / FIT))
        return replace(fit, points=self.points)

    @cached_property
    def points(self) -> Points:
        """The points of a calibration; UsageError for another kind of run."""
        self._must_be("points", "calibration")
        return read_points(self.folder / POINTS)

    @cached_property
    def schedule(self) -> "Schedule":
        """The schedule of a schedule or a walk-forward; UsageError for another kind of run."""

        self._must_be("schedule", "schedule", "walkforward")
        return Schedule.from_json(read_content(self.folder / SCHEDULE), str(self.folder / SCHEDULE))

    @cached_property
    def columns(self) -> RunColumns:
        """Fills, state and quotes for charts; an account's are the sum of its symbols. BrokenFile if unreadable."""
        if self.symbols:
            return account_columns([self.part(symbol).columns for symbol in self.symbols])
        with self.readable():
            return read_columns(self.traded, self.symbol, self.account)

    @cached_property
    def sweep(self) -> dict[str, Any]:
        """The content of ``sweep.json``; UsageError for another kind of run."""
        self._must_be("points", "sweep")
        return read_sweep(self.folder)

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Raise BrokenFile for a file that this version cannot read."""
        import polars as pl

        try:
            yield
        except (*LACKS, pl.exceptions.PolarsError) as error:
            why = " ".join(str(error).split())[:200]
            raise BrokenFile(f"{self.folder}: a file of the run cannot be read ({why}); make the run again") from error

    def table(self, name: str) -> "pl.DataFrame":
        """Return ``orders``, ``fills`` or ``state``, every cell as text; BrokenFile if unreadable."""
        with self.readable():
            table = read_table(self.traded, self.account or self.symbol, name)
            return rows_of(table, self.symbol) if self.account else table

    def orders_table(self, types: "Mapping[str, Any] | None" = None) -> "pl.DataFrame":
        """Return the order rows with these columns and polars types; without them as `table`."""
        import polars as pl

        more = {"symbol": pl.String} if self.account else {}
        orders = read_orders(self.traded, self.account or self.symbol, types and {**types, **more})
        return rows_of(orders, self.symbol) if self.account else orders

    def orders_frame(self) -> "pl.DataFrame":
        """Return the order rows, as `Result.orders_frame`.

        Columns: ``time``, ``order_id``, ``action``, ``status``, ``side``, ``price``, ``qty``, ``remaining_qty``,
        ``active_time``, ``expire_time``, ``cancel_request_time`` (to the ms, as in ``orders_<S>.csv``),
        ``cancel_effective_time``, ``reject_reason``, ``cancel_reason``.
        """
        self.check_single()
        table = self.table("orders")
        return frame(
            {
                "time": _us(table["recv_us"]),
                "order_id": _whole(table["order_id"]),
                "action": _word(table["action"], ACTIONS),
                "status": _word(table["status"], STATUSES),
                "side": _word(table["side"], SIDES),
                **{name: _float(table[name]) for name in ("price", "qty", "remaining_qty")},
                "active_time": _us(table["active_recv_us"]),
                "expire_time": _us(table["expire_recv_us"]),
                "cancel_request_time": _us(table["cancel_req_ms"], US_PER_MS),
                "cancel_effective_time": _us(table["cancel_effective_us"]),
                "reject_reason": _word(table["reject_reason"], REJECT_REASONS[1:]),
                "cancel_reason": _word(table["cancel_reason"], CANCEL_REASONS[1:]),
            }
        )

    def fills_frame(self) -> "pl.DataFrame":
        """Return the fills, as `Result.fills_frame`.

        Columns: ``time``, ``order_id``, ``side``, ``price``, ``qty``, ``mid``, ``fee``, ``reason`` (an Enum of those
        that occur), ``inventory``.
        """
        self.check_single()
        table = self.table("fills")
        reasons = table["reason"].drop_nulls().unique().sort().to_list()
        own = {"fee": _float(table["fee"]), "reason": _word(table["reason"], reasons)}
        return frame({**_fills(table), **own, "inventory": _float(table["inventory_after"])})

    def state_frame(self) -> "pl.DataFrame":
        """Return the account over time, as `Result.state_frame`.

        Columns: ``time``, ``inventory``, ``cash``, ``mid``, ``mtm_value``, ``equity``, ``open_orders``.
        """
        self.check_single()
        table = self.table("state")
        names = ("inventory", "cash", "mid", "mtm_value", "equity")
        columns = {"time": _us(table["recv_us"]), **{name: _float(table[name]) for name in names}}
        return frame({**columns, "open_orders": _whole(table["open_orders"])})

    def series_frame(self) -> "pl.DataFrame":
        """Return what the strategy recorded, as `Result.series_frame`.

        Columns: ``time``, ``name``, ``value``.
        """
        self.check_single()
        with self.readable():
            return own_series_frame(read_own_series(self.traded, self.symbol if self.account else ""))

    def equity_frame(self) -> "pl.DataFrame":
        """Return the equity over time, as `Result.equity_frame`.

        Columns: ``time``, ``equity``, ``pnl``, ``drawdown``, ``inventory``.
        """
        import polars as pl

        state = self.state_frame().filter(pl.col("equity").is_not_null())
        quoting = pl.col("equity") - self.summary.get("target_inventory", 0.0) * pl.col("mid")
        pnl, drawdown = quoting - quoting.first(), quoting.cum_max() - quoting
        return state.select("time", "equity", pnl.alias("pnl"), drawdown.alias("drawdown"), "inventory")

    def markouts_frame(
        self, horizons_s: Sequence[float] = HORIZONS_S, tape: "Tape | Sequence[Tape] | None" = None
    ) -> "pl.DataFrame":
        """Return the value of each fill at later instants, as `Result.markouts_frame`.

        Args:
            horizons_s: Seconds after a fill, above 0.
            tape: The played tape, which has the mid of every instant. Without it the mid is the preceding state row's,
                at most one second old.

        Columns: ``time``, ``order_id``, ``side``, ``price``, ``qty``, ``mid``, ``markout_0s`` and one of each horizon.
        """
        if not all(horizon > 0 for horizon in horizons_s):
            raise UsageError(f"horizons are {list(horizons_s)} s; give seconds above 0")
        self.check_single()
        table, run = self.table("fills"), self._beside(tape)
        us, side = _whole(table["recv_us"]).to_numpy(), np.where(table["side"].to_numpy() == "BUY", 1.0, -1.0)
        price, mid = (_float(table[name]).to_numpy() for name in ("price", "mid"))
        by_book = table["reason"].str.ends_with(":book").to_numpy()  # prints leave the mid as it is
        event = np.where(by_book, run.later(us) + 0.0 * mid, mid)
        later = {
            f"markout_{horizon_s:g}s": side * (run.later(us + round(horizon_s * US_PER_S)) - price)
            for horizon_s in horizons_s
        }
        return frame({**_fills(table), "markout_0s": side * (event - price), **later})

    def rows_frame(self) -> "pl.DataFrame":
        """Return the points of a sweep, the best first, or the days of an evaluation; UsageError for another run.

        Columns: ``rank``, ``point``, the axes, and the headlines of each point; or ``day``, ``symbol``, and the numbers
        of each day.
        """
        import polars as pl

        self._must_be("rows", "sweep", "evaluation")
        path = self.folder / (SWEEP if self.kind == "sweep" else EVALUATION)
        return pl.DataFrame(read_content(path, ("rows",))["rows"], infer_schema_length=None)

    def plot(self, tape: "Tape | Sequence[Tape] | None" = None) -> Picture:
        """Draw the charts of the run's page.

        With *tape*, the played one, the page of ``.save("….html")`` has its best prices and trades.
        """

        from mm.report import notebook

        if self.kind == "calibration":
            return self.fit.plot()
        if self.kind == "schedule":
            return self.schedule.plot()
        if self.kind == "sweep":
            return notebook.sweep_picture(self.sweep, *read_series(self.folder / SERIES))
        if self.kind == "evaluation":
            return notebook.evaluation_picture(read_evaluation(self.folder))
        self.check_single()
        return notebook.backtest_picture(self.summary, self._beside(tape))

    def lines(self) -> Iterator[str]:
        """Yield the run's identity, its main numbers, and its path."""
        manifest = self.manifest
        yield f"{self.kind} {manifest['symbol']} {manifest['day']}, run {manifest['run_id']}, {manifest['status']}"
        yield "  " + " ".join(f"{key}={shown(value)}" for key, value in headlines(manifest).items())
        if said := tried_of(Summary.read(self.now)):
            yield f"  trials: {said}"
        yield f"  {self.folder}"

    def _repr_html_(self) -> str:
        from mm.report.notebook import backtest_card, card_of
        from mm.report.sweep import findings_card

        try:
            if self.kind in ("calibration", "schedule"):
                return card_of(self.fit if self.kind == "calibration" else self.schedule)
            if self.kind == "sweep":
                return findings_card(self.sweep)
            if self.kind == "evaluation":
                return boxed("".join(headline(read_evaluation(self.folder))))
            if self.symbols:
                return f"<pre>{escape(chr(10).join(self.lines()))}</pre>"
            return backtest_card(self.now, self.columns)
        except BrokenFile as error:  # of an earlier version: a line in the notebook, no traceback
            return f"<p>{escape(str(error))}</p>"

    def _must_be(self, what: str, *kinds: str) -> None:
        if self.kind not in kinds:
            raise UsageError(f"{self.folder} is a {self.kind}, which has no {what}; give a {' or a '.join(kinds)}")

    def _beside(self, tape: "Tape | Sequence[Tape] | None") -> RunColumns:
        tapes = [] if tape is None else tape if isinstance(tape, Sequence) else [tape]
        return self.columns.beside(market_of(tapes, self.summary.get("feed"))) if tapes else self.columns


def _fills(table: "pl.DataFrame") -> dict[str, Any]:
    return {
        "time": _us(table["recv_us"]),
        "order_id": _whole(table["order_id"]),
        "side": _word(table["side"], SIDES),
        **{name: _float(table[name]) for name in ("price", "qty", "mid")},
    }


def _us(column: "pl.Series", unit: int = 1) -> "pl.Series":
    return instants((_whole(column) * unit).fill_null(-1).to_numpy())


def _whole(column: "pl.Series") -> "pl.Series":
    import polars as pl

    return column.cast(pl.Int64)


def _float(column: "pl.Series") -> "pl.Series":
    import polars as pl

    return column.cast(pl.Float64)


def _word(column: "pl.Series", words: Sequence[str]) -> "pl.Series":
    import polars as pl

    return column.cast(pl.Enum(words))
