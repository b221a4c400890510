"""``mm runs explain``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm.base.common_knobs import moved_data_root_knob
from mm.base.knobs import PATH, integer, knob, matching, number
from mm.cli.completion import runs as run_ids
from mm.cli.frame import command
from mm.cli.options import TRUST
from mm.clock import iso, us_of
from mm.dayfolder.layout import day_folder
from mm.errors import BrokenFile, DataError, Mismatch, MMError, Sentence, UsageError
from mm.instrument import E8, e8
from mm.play.knobs import Results
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.base.arrays import Floats, Ints
    from mm.play.queue_places import Place, RestingOrder
    from mm.runs.finished import RunFolder
    from mm.tape.tape import Tape


@dataclass(frozen=True, kw_only=True)
class Which(Results):
    """The number of the fill, and the number of market events around it."""

    fill: int = knob(1, integer(1, 10**12), "Number of the fill: its row in the fills file, from 1.", matters=False)
    around: int = knob(8, integer(1, 10_000), "Events to show before and after it.", matters=False)
    picture: Path | None = knob(None, PATH, "HTML page to write, with the book around it as a picture.", matters=False)
    picture_s: float = knob(60.0, number(1, 3_600), "Time that the picture shows, in s.", matters=False)
    moment: str | None = knob(
        None,
        matching(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", "an instant in UTC, 2026-01-05T08:30", "TIME"),
        "Middle of the picture, instead of a fill.",
        matters=False,
    )
    data_root: Path | None = moved_data_root_knob()


@command(arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), TRUST])
def runs_explain(console: Console, which: Which, name: str, trust: tuple[Path, ...]) -> None:
    """Show the tape around a fill of a backtest, and the cause of the fill.

    In a run of one account the row of the fill names its symbol; RUN/SYMBOL counts the fills of that symbol alone.

    With --picture FILE.html the book is drawn as a heat map, with our quotes, fills and place in the queue, for which
    the run is played again. A user's model is executed only if its file is named by --trust.

    Example: mm runs explain 20260105T080000Z --fill 12 --picture fill_12.html
    """
    from mm.backtest.explain import explain
    from mm.runs.find import open_part

    run = open_part(name, which.out_root, ("backtest", "walkforward", "shadow"))
    run.check_traded()
    if which.picture is not None and which.picture.suffix != ".html":
        raise UsageError("{picture} is {}: a picture is a page, FILE.html; its camera saves it as SVG", which.picture)
    if which.moment is not None:
        if which.picture is None:
            raise UsageError(Sentence("{moment} chooses what a picture shows; give --picture FILE.html too"))
        run.check_single()
        path = _draw(run, which, us_of(which.moment), trust)
        console.set_json({"path": str(run.traded.resolve()), "picture": str(path)})
        console.print(str(path))
        return
    folder = run.traded
    fills = _fills(run)
    if which.fill > len(fills):
        raise UsageError("{fill} is {}, but {} has {} fills; give the number of one", which.fill, folder, len(fills))
    fill, count = fills[which.fill - 1], len(fills)
    if run.symbols:  # the row names the symbol
        run = run.part(fill["symbol"])
        fills = [row for row in fills if row["symbol"] == run.symbol]
    orders = _orders(run, fill["order_id"])
    together = [row for row in fills if (row["order_id"], row["recv_us"]) == (fill["order_id"], fill["recv_us"])]
    tape = _tape(run, which, int(fill["recv_us"]))
    text = explain(tape, fill, orders, which.around, together, _feed(run))
    drawn = None if which.picture is None else _draw(run, which, int(fill["recv_us"]), trust)
    more = {} if drawn is None else {"picture": str(drawn)}
    console.set_json({"fill": fill, "orders": orders, "path": str(folder.resolve()), **more})
    console.print(f"fill {which.fill} of {count}{f' ({run.symbol})' if run.account else ''}: {text}")
    if drawn is not None:
        console.print(str(drawn))


def _draw(run: "RunFolder", which: Which, us: int, trust: Sequence[Path]) -> Path:
    from mm.base.atomic_file import write_atomic
    from mm.report.book_picture import book_cells, book_figure, page, stretch

    assert which.picture is not None
    first_us, last_us = stretch(us, which.picture_s)
    tape = _tape(run, which, us)
    with run.readable():
        columns = run.columns.between(first_us, last_us)
    ticks = [tick for side in columns.quotes.values() for tick in _ticks(side.price, tape).tolist()]
    cells = book_cells(tape, first_us, last_us, ticks, _feed(run))
    try:
        places, lines = _places(run, which, trust, (first_us, last_us)), list[str]()
        if not places:
            lines.append("Our place in the queue is not drawn: no order rested, or the fill model has no queue.")
    except MMError as error:
        places, lines = [], [f"Our place in the queue is not drawn: {error}"]
    html = page(tape, book_figure(tape, cells, columns, places), cells, f"run {run.run_id}", lines)
    write_atomic(which.picture, html.encode())
    return which.picture


def _ticks(price: "Floats", tape: "Tape") -> "Ints":
    from numpy import rint

    ticks: Ints = rint(price * E8 / tape.instrument.tick_e8).astype(int)
    return ticks


def _places(run: "RunFolder", which: Which, trust: Sequence[Path], span: tuple[int, int]) -> "list[Place]":
    """Play the run up to the end of *span*; MMError if its fills would differ."""
    from mm.commands.redraw import play_of
    from mm.play.queue_places import queue_places
    from mm.report.book_picture import sampled
    from mm.runs.trusted import InputPlaces, setup_of

    if run.account:
        raise UsageError(f"{run.symbol} played on one account with others; a backtest of it alone can draw it")
    places = InputPlaces(which.data_root or Path(run.knob("data_root") or "data"), which.out_root)
    with setup_of(run, places, trust) as (setup, _):
        found, fills = queue_places(play_of(run, setup), sampled(*span), _resting(run, span))
    told = [(int(row["recv_us"]), int(row["order_id"])) for row in _fills(run)]
    if fills != [one for one in told if one[0] <= span[1]]:
        raise Mismatch(
            f"{run.folder}: this version plays it to other fills than it has, made by {run.manifest['version']}"
        )
    return found


def _resting(run: "RunFolder", span: tuple[int, int]) -> "list[RestingOrder]":
    import polars as pl

    from mm.play.queue_places import RestingOrder
    from mm.report.run_columns import ENDS

    orders = run.orders_table()
    orders = orders.with_columns(pl.col("order_id", "recv_us", "active_recv_us").cast(pl.Int64))
    ended = orders.filter(pl.col("action").is_in(ENDS)).select("order_id", pl.col("recv_us").alias("until_us"))
    sent = orders.filter(pl.col("action") == "PLACE").join(ended, on="order_id", how="left")
    sent = sent.with_columns(pl.col("until_us").fill_null(span[1] + 1))
    there = sent.filter((pl.col("active_recv_us") <= span[1]) & (pl.col("until_us") > span[0]))
    rows = there.select("order_id", "side", "active_recv_us", "until_us").iter_rows()
    return [RestingOrder(order_id, 1 if side == "BUY" else -1, us, until) for order_id, side, us, until in rows]


def _feed(run: "RunFolder") -> dict[str, Any]:
    return run.summary.get("feed") or {"kind": run.knob("feed_latency") or "none"}


def _fills(run: "RunFolder") -> list[dict[str, str]]:
    path = run.traded / f"fills_{run.account or run.symbol}.csv"
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file; {run.folder} is a run of {run.manifest['kind']}, not a backtest"
        )
    return run.table("fills").fill_null("").to_dicts()


def _orders(run: "RunFolder", order_id: str) -> list[dict[str, str]]:
    orders = run.table("orders")
    return orders.filter(orders["order_id"] == order_id).fill_null("").to_dicts()


def _tape(run: "RunFolder", which: Which, us: int) -> Any:
    from mm.tape.load import load_day

    knobs = {key: knob["value"] for key, knob in run.manifest["knobs"].items()}
    root = which.data_root or Path(knobs["data_root"])
    read = {file["path"]: file["sha256"] for file in run.manifest["inputs"]}
    days = sorted({parts[1] for parts in (path.split("/") for path in read) if parts[0] == run.manifest["symbol"]})
    if not days:
        raise BrokenFile(f"{run.folder}: its manifest lists no recorded day; run the backtest again")
    for day in days:
        tape = load_day(
            day_folder(root, run.manifest["symbol"], day),
            cache=which.out_root / "tapes",
            damaged=bool(knobs.get("damaged")),
            open_held_out=True,  # the run has played it
            tick_size_e8=_e8(knobs.get("tick_size")),
            qty_step_e8=_e8(knobs.get("qty_step")),
            min_notional_e8=_e8(knobs.get("min_notional")),
        )
        if not tape.start_us <= us <= tape.end_us:
            continue
        changed = [path for path, _, sha256 in tape.meta.inputs if read.get(path, sha256) != sha256]
        if changed:
            raise Mismatch(f"{root / changed[0]} changed since the run; repeat the run, or give its --data-root")
        return tape
    span = f"{days[0]} to {days[-1]}"
    raise Mismatch(f"{root}: no day of the run ({span}) contains {iso(us)}; choose another, or give its --data-root")


def _e8(text: str | None) -> int | None:

    return None if text is None else e8(text)
