"""What has to be known before the first point is played: files, fits, and that every point can be."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm import assemble
from mm.code_identity import digest, hash_file
from mm.config import Windows
from mm.errors import ModelError, UsageError
from mm.model_maker import ModelMaker, fitted_from
from mm.runs import Run
from mm.sweep.axes import FLAG
from mm.sweep.engines import Outcomes, in_process, in_processes
from mm.sweep.grid import Point
from mm.sweep.play import Task
from mm.sweep.store import Store
from mm.sweep.work import FIT, Engine, Ground
from mm.sweep_knobs import Sweep

if TYPE_CHECKING:
    from mm.calibration.recipe import Recipe
    from mm.tape.tape import Tape


def ground(run: Run | None, points: Sequence[Point], tapes: "Sequence[Tape]", cache: Path) -> Ground:
    """Return what all points stand on; best prices are kept beside the tapes in *cache* before anybody needs them."""
    files = list(dict.fromkeys(path for point in points for path in point.setup.files()))
    for path in files:
        if run is not None:
            run.input_file(path)
    for tape in tapes:
        tape.best  # noqa: B018 - from now on it is kept
    inputs = sorted(sha256 for tape in tapes for _, _, sha256 in tape.meta.inputs)
    return Ground(inputs, {path: hash_file(path) for path in files}, cache)


def fits(
    run: Run,
    points: Sequence[Point],
    tapes: "Sequence[Tape]",
    how: "tuple[Recipe, Windows]",
    stand: Ground,
    store: Store,
) -> Ground:
    """Fit the whole of the days, and rolling windows of them; every point is played on both.

    The windows end before their segments by the longest order latency of the grid: no point knows more than it could.

    Args:
        run: Keeps the schedule and its metrics.
        points: Of the grid.
        tapes: The days.
        how: How windows are measured, and cut.
        stand: What the points stand on so far.
        store: Where the fit is kept for the commands of points.

    Raises:
        FitError: If no segment is usable.
    """
    from mm.calibration.artefact import artefact
    from mm.calibration.calibrate import measure
    from mm.calibration.intensity import why_unusable
    from mm.errors import FitError
    from mm.runner_calibrate_schedule import study_days, write_study

    recipe, windows = how
    slowest = max((point.setup for point in points), key=lambda setup: setup.execution.order_latency_ms)
    rules = assemble.rules(tapes[0], slowest.execution, slowest.account)
    plan, fallback = assemble.plan(windows, slowest.execution), assemble.fallback(windows, slowest.models)
    with run.timing("calibrate"):
        whole = measure(list(tapes), recipe, rules)
        studied = study_days(run, (list(tapes), recipe, rules), plan, fallback)
    if not write_study(run, studied):
        raise FitError(f"{studied.schedule.symbol} {studied.schedule.day}: {why_unusable(studied.schedule)}")
    schedule = _plain(studied.schedule.to_json())
    if not whole.fit.usable:
        run.log.warning("fit_unusable", reason=whole.fit.reason, told="points without fill parameters have none")
        return replace(stand, schedule=schedule)
    text = json.dumps(artefact(whole), indent=1, allow_nan=False) + "\n"
    run.output(FIT).write_text(text, encoding="utf-8")
    kept = store.write(f"fit_{digest(text)[:12]}.json", text)  # its place is known before the run has ended
    known = set(whole.fit.to_json())
    fitted = {name: value for name, value in json.loads(text).items() if name in known}
    return replace(stand, fitted=fitted, fit=kept, schedule=schedule)


def _plain(content: Any) -> Any:
    """Return *content* as another process reads it from JSON."""
    return json.loads(json.dumps(content, allow_nan=False))


def check(run: Run | None, points: Sequence[Point], tapes: "Sequence[Tape]", stand: Ground) -> None:
    """Make the models and rules of every point once, so that a wrong value is told before anything is played.

    A user's model that raises is left to its point, which fails alone.

    Raises:
        UsageError: If a point cannot be; it is named.
    """
    seen, warned = set(), set()
    for point in points:
        setup = point.setup
        if (made := (setup.execution, setup.account, setup.models)) in seen:
            continue
        seen.add(made)
        first = setup.models.quote_model not in warned
        warned.add(setup.models.quote_model)
        try:
            with redirect_stdout(sys.stderr):  # what a model prints is no answer of this command
                _make(run if first else None, point, tapes, stand)
        except ModelError:
            continue
        except UsageError as error:
            told = " ".join(f"{name}={text}" for name, text in point.texts.items())
            raise UsageError(f"{FLAG}: the point {told} cannot be: {error}") from error


def _make(run: Run | None, point: Point, tapes: "Sequence[Tape]", stand: Ground) -> None:
    setup = point.setup
    rounds = [(setup.models, None if setup.fitted else stand.fitted)]
    if stand.schedule is not None:
        rounds.append((assemble.unfitted(setup.models), stand.schedule))
    for models, fitted in rounds:
        maker = ModelMaker(run, models, tapes[0], setup.account.seed)
        if fitted is not None:
            maker.use(fitted_from(fitted, "the sweep's fit"))
        maker.quotes()
        maker.fills()
        assemble.rules(tapes[0], setup.execution, setup.account, models)


def engine(sweep: Sweep) -> Engine:
    """Return what plays tasks, as the knobs have it."""
    if sweep.cluster is not None:
        from mm.sweep.cluster import on_cluster

        return partial(on_cluster, address=sweep.cluster)
    return partial(_locally, jobs=sweep.jobs or cpu_count() or 1)


def _locally(tasks: Sequence[Task], jobs: int) -> Outcomes:
    """Play in as many processes as there are *jobs* and work for; in this one where that is one."""
    return in_process(tasks) if min(jobs, len(tasks)) <= 1 else in_processes(tasks, jobs)
