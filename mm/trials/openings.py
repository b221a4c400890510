"""Opened held-out days: the ledger has their openings, and what was trained on a day tests nothing there."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mm.dayfolder.held_out import note_opening, openings_of
from mm.errors import UsageError
from mm.trials.ledger import Ledger

if TYPE_CHECKING:
    from mm.tape.tape import Tape

PYTHON = "python"


def write_openings(out_root: Path, tapes: "Iterable[Tape]", made_by: str) -> list[str]:
    """Write each beside its hold, so that another OUT_ROOT knows of it, and into the ledger; return what failed."""
    ledger, problems = Ledger(out_root), list[str | None]()
    for tape in tapes:
        for day in tape.days if tape.meta.opened else ():
            root = Path(tape.meta.opened)
            problems.append(note_opening(root, tape.symbol, day, made_by))
            problems.append(ledger.open(tape.symbol, day, made_by, openings_of(root, tape.symbol, day)))
    return [problem for problem in problems if problem]


def check_openings(tapes: "Iterable[Tape]", out_root: "str | os.PathLike[str] | None") -> None:
    if out_root is None and any(tape.meta.opened for tape in tapes):
        raise UsageError("a day that is held out was opened; give out_root, whose ledger writes that down")


def note_fitted(tapes: "Sequence[Tape]", out_root: "str | os.PathLike[str] | None") -> None:
    """Note the days that a fit has used; a failure is a warning. UsageError without *out_root*."""
    check_openings(tapes, out_root)
    if out_root is not None:
        for problem in write_openings(Path(out_root), tapes, PYTHON):
            warnings.warn(problem, stacklevel=3)


def refuse_trained(what: str, trained_on: Callable[[str], object], tapes: "Sequence[Tape]") -> None:
    """Raise UsageError: a day of *tapes* that *what* was trained on tests nothing."""
    trained = [day for tape in tapes if tape.meta.opened for day in tape.days if trained_on(day)]
    if trained:
        raise UsageError(
            f"{tapes[0].symbol} {', '.join(trained)}: held out, but {what} was trained on it, so nothing of it would "
            f"be out of sample; give one of other days"
        )
