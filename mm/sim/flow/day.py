"""Writes a simulated session to a day folder, with its true parameters and its order log."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mm.clock import US_PER_S
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.order_log import OrderLogWriter, Steps
from mm.errors import UsageError
from mm.sim.flow.faulty_recorder import FaultyRecorder
from mm.sim.flow.order_flow import Scenario
from mm.sim.flow.recorder import PlainRecorder
from mm.sim.flow.session import Session
from mm.sim.matching._core import Matching

if TYPE_CHECKING:
    DayRecorder = PlainRecorder | FaultyRecorder

TRUTH = "truth.json"
_CHUNK_US = 60 * US_PER_S


def make_day(
    folder: DayFolder, scenario: Scenario, session: Session, step: Callable[[int], None] = lambda _us: None
) -> dict[str, Any]:
    """Write a session completely or not at all; return its truth. *step* gets the µs of each part."""
    if folder.path.exists() and not (folder.path / TRUTH).is_file():
        raise UsageError(
            f"{folder.path} exists and is not a simulated day (it has no {TRUTH}); "
            f"give another --symbol, --day or --data-root"
        )
    root = folder.root / f".{folder.symbol}-{folder.day}.partial"
    partial = DayFolder(root, folder.symbol, folder.day)
    shutil.rmtree(root, ignore_errors=True)
    try:
        truth = _make(partial, scenario, session, step)
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder.path, ignore_errors=True)
        partial.path.rename(folder.path)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return truth


def _make(folder: DayFolder, scenario: Scenario, session: Session, step: Callable[[int], None]) -> dict[str, Any]:
    first_id = session.first_id
    matching = Matching(first_order_id=first_id, first_trade_id=first_id, first_update_id=first_id)
    flow = scenario.flow(matching, session)
    recorder, grid = _recorder(folder, scenario, session), scenario.instrument(session.symbol)
    try:
        with OrderLogWriter(folder.order_log_columns, steps=Steps(grid.tick_e8, grid.lot_e8)) as log:
            flow.advance(session.open_us)
            rows = matching.take_log()
            recorder.begin(rows)
            log.add(rows)
            for chunk_us in range(session.open_us, session.close_us, _CHUNK_US):
                flow.advance(min(chunk_us + _CHUNK_US, session.flow_us[1]))
                rows = matching.take_log()
                recorder.take(rows)
                log.add(rows)
                step(min(_CHUNK_US, session.close_us - chunk_us))
            recorder.finish()
        truth = _truth(scenario, session, recorder) | flow.counts() | recorder.truth()
        (folder.path / TRUTH).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        recorder.writer.seal()
    finally:
        recorder.writer.close()
    return truth


def _recorder(folder: DayFolder, scenario: Scenario, session: Session) -> "DayRecorder":
    instrument, faults = scenario.instrument(session.symbol), scenario.faults(session)
    named = {"symbol": session.symbol, "day": session.day, "hours": session.hours, "seed": session.seed}
    knobs = {**named, "scenario": scenario.name, **asdict(scenario)}
    if not faults:
        return PlainRecorder(folder, session, instrument, knobs)
    return FaultyRecorder(folder, session, instrument, faults, knobs)


def _truth(scenario: Scenario, session: Session, recorder: "DayRecorder") -> dict[str, Any]:
    if not recorder.depth_messages:
        raise UsageError(
            "{scenario} {} has no depth message in {} hours, and a recorded day needs at least one; choose another "
            "scenario, or increase its rates",
            scenario.name,
            session.hours,
        )
    start_us, end_us = session.flow_us
    return {
        "scenario": scenario.name,
        "seed": session.seed,
        "symbol": session.symbol,
        "day": session.day,
        "hours": session.hours,
        **scenario.truth(session),
        "flow": {"start_us": start_us, "end_us": end_us},
        "depth_messages": recorder.depth_messages,
        "trades": recorder.trades,
        "parameters": asdict(scenario),
    }
