"""Play one backtest of a sweep, in whatever process: JSON values in, JSON values out.

``python -m mm.sweep.play`` is a process that plays points, a JSON line in, a JSON line out, until its input ends. It is
not a child of ``multiprocessing``: nothing of the calling program is imported again, so a notebook or a script needs no
guard, and nothing but text goes from one to the other.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from mm.cli.config import Day, Market
from mm.commands.setup import Setup
from mm.errors import Mismatch, MMError, ModelError
from mm.sweep.store import code_of

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.tape.tape import Tape

PERIOD_S = 60
_IMPORTING = Lock()
_OPEN = 2  # days, or ranges of them, that a process keeps open
_MOST_ROWS = 50_000_000  # of 17 bytes, that stay mapped from one point to the next
_KEPT_BYTES, _MAPPED_BYTES = 1 << 28, 1 << 25  # of freed memory, and of blocks that are returned at once
Task = Mapping[str, Any]
Outcome = dict[str, Any]
Found = TypeVar("Found")


def play(task: Task) -> Outcome:
    """Return ``{"summary", "series"}`` of one backtest, or ``{"error", "exit_code", "traceback"}``.

    Args:
        task: ``setup``; ``fitted``, a fit or a schedule as JSON, or None; ``micro_price``, likewise; ``tapes``, the
            folder of kept tapes; ``folder``, where a user's models are searched for; ``code``, ``sources`` and
            ``inputs``, which must be the same here as where the task was made; and ``kept``, where the
            days are elsewhere, the files of their tapes.
    """
    return outcome(backtested(task))


def backtested(task: Task) -> "Result | Outcome":
    """Play *task* and return its backtest, of which `outcome` makes the outcome; where it fails, that outcome."""
    return _guarded(_played, task)


def outcome(found: "Result | Outcome") -> Outcome:
    """Return the outcome of what `backtested` has found, in whatever thread."""
    return found if isinstance(found, dict) else _guarded(_checked, found)


def _guarded(step: Callable[..., Found], given: object) -> Found | Outcome:
    """Return what a *step* makes of what is *given*, or the outcome of a point at which it raised."""
    try:
        return step(given)
    except MMError as error:
        return failed(error)
    except (Exception, SystemExit) as error:  # SystemExit: a model that calls sys.exit() ends its own point alone
        line = " ".join(f"unforeseen {type(error).__name__}: {error}".split())
        return {"error": line, "exit_code": MMError.exit_code, "traceback": traceback.format_exc()}


def _checked(result: "Result") -> Outcome:
    from mm.backtest.metrics._json_values import check

    check(outcome := outcome_of(result))
    return outcome


def failed(error: MMError) -> Outcome:
    """Return the outcome of a point that cannot be played because of *error*."""
    trace = "".join(traceback.format_exception(error.__cause__ or error)) if isinstance(error, ModelError) else ""
    return {"error": " ".join(str(error).split()), "exit_code": error.exit_code, "traceback": trace}


def outcome_of(result: "Result") -> Outcome:
    """Return what a sweep keeps of a backtest: its summary, and its PnL over each 60 s on one grid of time."""
    import numpy as np

    from mm.backtest.metrics.pnl import ledger
    from mm.backtest.metrics.summary import summarise

    journal, books = result.journal, result.books
    account = ledger(journal.state, books.instrument, books.initial_cash_e8)
    summary, start_us, pnl = summarise(journal, books, account), None, []
    if len(account.us):
        row, used = account.periods
        changes = np.diff(account.equity[row]).astype(np.float64) / account.per_quote
        start_us = int(account.us[0])
        pnl = [change if counts else None for change, counts in zip(changes.tolist(), used.tolist(), strict=True)]
    return {"summary": summary, "series": {"start_us": start_us, "period_s": PERIOD_S, "pnl": pnl}}


def _played(task: Task) -> "Result":
    from mm.backtest.replay import backtest
    from mm.backtest.sensitivity import with_band
    from mm.commands import assemble
    from mm.model_maker import ModelMaker, fitted_from
    from mm.signals.micro_price import MicroPriceFit

    setup = Setup.from_json(task["setup"])
    _check_code(task, setup)
    tapes = _tapes(setup.day, setup.market, task["tapes"], tuple(task["inputs"]), tuple(task.get("kept", ())))
    maker = ModelMaker(None, setup.models, tapes[0], setup.account.seed)
    if task["fitted"] is not None:
        maker.use(fitted_from(task["fitted"], "the sweep's schedule"))
    rules = assemble.rules(tapes[0], setup.execution, setup.account, setup.models, risk=setup.risk)
    if task["micro_price"] is not None:
        rules = replace(rules, micro_price=MicroPriceFit.from_json(task["micro_price"], "the sweep's micro-price"))
    play = partial(backtest, tapes, rules=rules, keeps_orders=False)  # a point keeps its summary alone
    result = maker.based(play(quotes=maker.quotes(), fills=maker.fills(), intensity=maker.intensity))
    if not setup.models.fit_draws:
        return result
    return with_band(result, [play(quotes=quotes, fills=fills) for quotes, fills in maker.redrawn()])


def _check_code(task: Task, setup: Setup) -> None:
    """Refuse to play with other code than that of the process that made the task."""
    if task["folder"] not in sys.path:
        sys.path.insert(0, task["folder"])
    with _IMPORTING:  # a cluster's worker may play in several threads
        here = code_of(setup.models)
    other = [name for name, sha256 in task["sources"].items() if here.models.get(name) != sha256]
    if other:
        raise Mismatch(f"{', '.join(other)}: another file where the point was played; share one folder of models")
    if here.sources != task["code"]:
        raise Mismatch("the worker has another version of mm than this process; install the same one on both")


@lru_cache(maxsize=_OPEN)
def _tapes(day: Day, market: Market, cache: str, inputs: tuple[str, ...], kept: tuple[str, ...]) -> "list[Tape]":
    """Open the days, whose kept tapes every process maps into the same memory."""
    from mm.commands import assemble
    from mm.tape.load import open_kept

    if kept:
        opened = assemble.on_one_grid([open_kept(Path(path)) for path in kept])
    else:
        opened = assemble.open_days(day, market, Path(cache))
    if sorted(sha256 for tape in opened for _, _, sha256 in tape.meta.inputs) != sorted(inputs):
        raise Mismatch(
            f"{day.symbol} {day.label()}: its files are others than those the sweep began with; run it again"
        )
    stay = sum(len(tape.row_ticks) for tape in opened) <= _MOST_ROWS
    return [tape.staying() for tape in opened] if stay else opened


def keep_freed_memory() -> None:
    """Let this process keep what it frees, up to `_KEPT_BYTES`: each point wants as much again as the one before.

    The GNU library gives it back to the system otherwise, which clears it anew, a page at a time. Elsewhere nothing
    changes.
    """
    from mm.tape.columns import hold_freed

    hold_freed(_MAPPED_BYTES, _KEPT_BYTES)


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep the collector of garbage from what is there by now: imports made half a million objects, a point a thousand.

    Behind the block all is looked at again. Nothing changes where the program keeps it from objects of its own.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def main() -> None:
    """Answer each task on stdin; what models print goes to stderr."""
    keep_freed_memory()
    tasks: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read, args=(tasks,), daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        _answer(tasks, answers)  # the first one imports what the others need
        with without_collection():
            while True:
                _answer(tasks, answers)


def _answer(tasks: "SimpleQueue[str]", answers: TextIO) -> None:
    answers.write(json.dumps(play(json.loads(tasks.get())), allow_nan=False) + "\n")
    answers.flush()


def _read(tasks: "SimpleQueue[str]") -> None:
    """Pass on each task, and end the process with its input: whoever wanted the answer is gone."""
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
