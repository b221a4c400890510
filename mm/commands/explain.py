"""``mm runs explain``: show the tape around a fill, and its cause."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm.base.common_knobs import moved_data_root_knob
from mm.base.knobs import integer, knob
from mm.cli.completion import runs as run_ids
from mm.cli.console import Console
from mm.cli.frame import command
from mm.dayfolder.layout import day_folder
from mm.errors import BrokenFile, DataError, Mismatch, UsageError
from mm.instrument import e8
from mm.play.knobs import Results

if TYPE_CHECKING:
    from mm.runs.finished import RunFolder


@dataclass(frozen=True, kw_only=True)
class Which(Results):
    """The number of the fill, and the number of market events around it."""

    fill: int = knob(1, integer(1, 10**12), "Number of the fill: its row in the fills file, from 1.", matters=False)
    around: int = knob(8, integer(1, 10_000), "Events to show before and after it.", matters=False)
    data_root: Path | None = moved_data_root_knob()


@command(Which, arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids)])
def runs_explain(console: Console, which: Which, name: str) -> None:
    """Show the tape around a fill of a backtest, and the cause of the fill.

    Example: mm runs explain 20260105T080000Z --fill 12
    """
    from mm.backtest.explain import explain
    from mm.runs.find import open_run

    run = open_run(name, which.out_root, ("backtest", "walkforward", "shadow"))
    run.check_traded()
    folder, symbol = run.traded, run.symbol
    fills = _rows(folder / f"fills_{symbol}.csv", run)
    if which.fill > len(fills):
        raise UsageError(f"--fill (FILL) is {which.fill}, but {folder} has {len(fills)} fills; give the number of one")
    fill = fills[which.fill - 1]
    orders = _orders(folder, symbol, fill["order_id"], run)
    together = [row for row in fills if (row["order_id"], row["recv_us"]) == (fill["order_id"], fill["recv_us"])]
    tape = _tape(run, which, int(fill["recv_us"]))
    text = explain(tape, fill, orders, which.around, together, _feed(run))
    console.set_json({"fill": fill, "orders": orders, "path": str(folder.resolve())})
    console.print(f"fill {which.fill} of {len(fills)}: {text}")


def _feed(run: "RunFolder") -> dict[str, Any]:
    """Return how the exchange's messages reached the run; one of an older version has it among its knobs."""
    return run.summary.get("feed") or {"kind": run.knob("feed_latency") or "none"}


def _orders(folder: Path, symbol: str, order_id: str, run: "RunFolder") -> list[dict[str, str]]:
    """Return the rows of an order, with each cell as in the CSV file."""
    from mm.backtest.io import CSV, orders_path, read_orders

    path = orders_path(folder, symbol)
    if path.suffix == f".{CSV}":
        return [row for row in _rows(path, run) if row["order_id"] == order_id]
    orders = read_orders(folder, symbol)
    return orders.filter(orders["order_id"] == order_id).fill_null("").to_dicts()


def _rows(path: Path, run: "RunFolder") -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file; {run.folder} is a run of {run.manifest['kind']}, not a backtest"
        )
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _tape(run: "RunFolder", which: Which, us: int) -> Any:
    """Return the day of the run that contains an instant; its files must be the run's inputs."""
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
        if us > tape.end_us:
            continue
        changed = [path for path, _, sha256 in tape.meta.inputs if read.get(path, sha256) != sha256]
        if changed:
            raise Mismatch(f"{root / changed[0]} changed since the run; repeat the run, or give its --data-root")
        return tape
    raise Mismatch(f"{root}: no day of the run contains the instant {us}; give the run's --data-root")


def _e8(text: str | None) -> int | None:

    return None if text is None else e8(text)
