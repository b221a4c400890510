"""Runs one backtest of a sweep in any process: JSON values in, JSON values out."""

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import zip_longest
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.account_limits import AccountTerms
from mm.backtest.metrics.json_values import check
from mm.backtest.metrics.notes import NULL
from mm.backtest.metrics.pnl import AccountSeries, account_of
from mm.backtest.metrics.summary import point_summary
from mm.base.code_identity import hash_file
from mm.errors import Mismatch, MMError, ModelError
from mm.play.design import minutes_of, periods_of
from mm.play.knobs import Day, Market, OtherMarkets
from mm.play.market import FittedMicroPrice, Markets, feed_of_market, on_one_grid
from mm.play.models import fitted_from
from mm.play.play import OFF, Play
from mm.play.setup import Setup
from mm.signals.micro_price import MicroPriceFit
from mm.sweep.store import code_of
from mm.tape.day_orders import open_kept_orders
from mm.tape.load import open_kept

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.tape.tape import Tape

PERIOD_S = 60
_IMPORT_LOCK = Lock()
_OPEN = 2  # days, or ranges of days, that a process keeps open
_MOST_ROWS = 50_000_000  # rows (17 bytes each) that stay mapped from one point to the next
KeptOrders = tuple[str, tuple[int, int]]  # a file of a day's orders, and the steps of their log
Task = Mapping[str, Any]
Outcome = dict[str, Any]


def play(task: Task) -> Outcome:
    """Return ``{"summary", "series"}`` of one backtest, or ``{"error", "exit_code", "traceback"}``.

    Args:
        task: ``setup``; ``fitted`` and ``micro_price``, fits or a schedule as JSON, or None; ``tapes``, the folder of
            kept tapes; ``folder``, of a user's models; ``code``, ``sources``, ``inputs`` and ``logs`` (order logs),
            which must match the process that made the task; ``kept`` and ``orders``, the files of tapes and their
            orders if the days are on another machine.
    """
    try:
        check(outcome := account_outcome(task) if "symbols" in task else outcome_of(_played(task)))
    except MMError as error:
        return failed(error)
    except (Exception, SystemExit) as error:  # SystemExit: a model that calls sys.exit() fails only its point
        line = " ".join(f"unforeseen {type(error).__name__}: {error}".split())
        return {"error": line, "exit_code": MMError.exit_code, "traceback": traceback.format_exc()}
    return outcome


def failed(error: MMError) -> Outcome:
    trace = "".join(traceback.format_exception(error.__cause__ or error)) if isinstance(error, ModelError) else ""
    return {"error": " ".join(str(error).split()), "exit_code": error.exit_code, "traceback": trace}


def outcome_of(result: "Result") -> Outcome:
    """`point_summary`, and the quoting PnL of each 60 s with a market."""
    account, summary = _summed(result)
    summary |= result.all_legs(summary)
    for name, leg in result.legs.items():
        _, own = _summed(leg)
        summary["warnings"] += [f"{name}: {note}" for note in own["warnings"] if not note.startswith(NULL)]
    spans, pnl = minutes_of(result, account)
    series = {"spans": [[*span] for span in spans], "period_s": PERIOD_S, "pnl": pnl.tolist()}
    bounds = result.terms.bounds
    if bounds is not None:
        summary |= bounds.block
        series["bounds"] = bounds.minutes()
    return {"summary": summary, "series": series}


def _summed(result: "Result") -> tuple[AccountSeries, dict[str, Any]]:
    account = account_of(result.journal, result.terms)
    return account, point_summary(result.journal, result.terms, account)


def account_outcome(task: Task) -> Outcome:
    """The outcome of an account, and of each of its *symbols*."""
    from mm.play.account_play import AccountPlay

    plays = {one["setup"]["day"]["symbol"]: _play_of(one) for one in task["symbols"]}
    result = AccountPlay.of(plays, AccountTerms(**task["limits"])).run(keeps_orders=False)
    symbols = {symbol: outcome_of(one) for symbol, one in result.results.items()}
    spans, pnl = ((), np.empty(0)) if result.series is None else periods_of(result.series)
    summary = result.point_summary({symbol: one["summary"] for symbol, one in symbols.items()})
    series = {"spans": [[*span] for span in spans], "period_s": PERIOD_S, "pnl": pnl.tolist()}
    symbols = {symbol: result.in_numeraire(symbol, one) for symbol, one in symbols.items()}
    return {"summary": summary, "series": series, "symbols": symbols}


def _played(task: Task) -> "Result":
    return _play_of(task).run(keeps_orders=False)  # only the summary is kept


def _play_of(task: Task) -> Play:
    setup = Setup.from_json(task["setup"])
    _check_code(task, setup)
    orders = tuple(one and (one[0], tuple(one[1])) for one in task.get("orders", ()))
    files = tuple(task["inputs"]), tuple(task.get("kept", ())), tuple(task.get("logs", ())), orders
    markets = _markets(setup.day, setup.market, setup.others, *files)
    fit, micro_price = task["fitted"], None
    if task["micro_price"] is not None:
        micro_price = MicroPriceFit.from_json(task["micro_price"], "the sweep's micro-price")
    markets = replace(markets, fitting=partial(FittedMicroPrice, micro_price))
    fitted = None if fit is None else fitted_from(fit, "the sweep's schedule")
    return Play.of(setup, markets, fitted, replace(OFF, bounds=task.get("bounds", False)))


def _check_code(task: Task, setup: Setup) -> None:
    if task["folder"] not in sys.path:
        sys.path.insert(0, task["folder"])
    with _IMPORT_LOCK:  # a worker of a cluster may have several threads
        here = code_of(setup.models)
    other = [name for name, sha256 in task["sources"].items() if here.models.get(name) != sha256]
    if other:
        raise Mismatch(f"{', '.join(other)}: the worker has another version of this file; use one folder of models")
    if here.sources != task["code"]:
        raise Mismatch("the worker has another version of mm than this process; install the same one on both")


@lru_cache(maxsize=_OPEN)
def _markets(  # noqa: PLR0913, PLR0917 - the key of the cache
    day: Day,
    market: Market,
    others: OtherMarkets,
    inputs: tuple[str, ...],
    kept: tuple[str, ...],
    logs: tuple[str, ...],
    orders: tuple[KeptOrders | None, ...],
) -> Markets:
    """All processes map the same kept tapes into shared memory."""
    days = len(day.days())
    every = [_open_kept(Path(path), one) for path, one in zip_longest(kept, orders)]
    opened = [every[at : at + days] for at in range(0, len(every), days)]
    if kept:
        own = on_one_grid(opened[0])
        given = zip(others.declared().items(), opened[1:], strict=True)
        feeds = {
            name: feed_of_market(name, own, on_one_grid(tapes), declared.get("feed_latency_ms"))
            for (name, declared), tapes in given
        }
        markets = Markets(own, feeds, declared=others.declared())
    else:
        markets = Markets.open(day, market, others)
    every = [*markets.tapes, *(tape for feed in markets.others.values() for tape in feed.tapes)]
    played = sorted(hash_file(tape.order_log) for tape in every if tape.order_log) if logs and not kept else [*logs]
    same = sorted(sha256 for tape in every for _, _, sha256 in tape.meta.inputs) == sorted(inputs)
    if not same or played != sorted(logs):
        raise Mismatch(f"{day.symbol} {day.label()}: its files have changed since the sweep began; run it again")
    stay = sum(len(tape.row_ticks) for tape in markets.tapes) <= _MOST_ROWS
    return replace(markets, tapes=[tape.kept_mapped() for tape in markets.tapes]) if stay else markets


def _open_kept(path: Path, orders: KeptOrders | None) -> "Tape":
    tape = open_kept(path)
    if orders is None:
        return tape
    return tape.with_orders(lambda: open_kept_orders(Path(orders[0]), orders[1], tape.instrument))


def main() -> None:
    tasks: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read, args=(tasks,), daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        while True:
            print(json.dumps(play(json.loads(tasks.get())), allow_nan=False), file=answers, flush=True)


def _read(tasks: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
