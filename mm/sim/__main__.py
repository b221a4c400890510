"""``mm sim``: make markets to practise on."""

from dataclasses import dataclass
from typing import Any

from mm.cli import Commands, Program, command
from mm.config import Source
from mm.console import Console
from mm.knobs import REQUIRED, Reader, knob, number, one_of, whole
from mm.sim.flow.scenario import SCENARIOS, Flags, chosen
from mm.symbols_and_days import day_list

COMMANDS: Commands = {
    "day": ("Make a seeded synthetic day with known truth.", "mm.sim.__main__:day"),
    "serve": ("Serve a simulated exchange over REST and WebSocket.", "mm.sim.wire.serve:main"),
    "as2008": ("Print the tables of Avellaneda and Stoikov (2008), exact and simulated.", "mm.sim.as2008.command:main"),
}


@dataclass(frozen=True, kw_only=True)
class Simulated(Source):
    """Which sessions to make, of which market."""

    day: tuple[str, ...] = knob(
        REQUIRED, Reader("DAY", day_list), "YYYYMMDD, a list 20260105,20260106 or a range 20260105:20260109."
    )
    hours: float = knob(14.0, number(0.01, 24), "Length of a day's session, which opens at 08:00 Berlin time.")
    seed: int = knob(0, whole(0, 2**63 - 1), "Key of every draw; each day of a range has its own luck.")
    scenario: str = knob("poisson", one_of(*SCENARIOS), "The market.")


@command(Simulated, Flags, defaults={"symbol": "SIMUSDT"})
def day(console: Console, simulated: Simulated, flags: object) -> None:
    """Make simulated days: day folders as a recorder writes them, and the truth of their market in truth.json."""
    from mm.market_data.layout import DayFolder
    from mm.sim.flow.day import TRUTH, make_day
    from mm.sim.flow.session import Session

    scenario = chosen(simulated.scenario, flags)
    truths: list[dict[str, Any]] = []
    with console.progress("days", len(simulated.day)) as advance:
        for one in simulated.day:
            folder = DayFolder(simulated.data_root, simulated.symbol, one)
            truth = make_day(folder, scenario, Session(folder.symbol, one, simulated.hours, simulated.seed))
            truths.append(truth | {"path": str(folder.path / TRUTH)})
            console.say(f"{folder.path}: {truth['depth_messages']:,} depth messages, {truth['trades']:,} trades")
            advance(1)
    whole_path = str(simulated.data_root / simulated.symbol)
    console.answer(truths[0] if len(truths) == 1 else {"days": truths, "path": whole_path})


main = Program("mm sim", "Make markets to practise on.", COMMANDS)

if __name__ == "__main__":
    main()
