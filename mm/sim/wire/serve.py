"""``mm sim serve``: the exchange in a box as a process of its own."""
# ruff: noqa: RUF009 - knob() makes a dataclass field, it is no shared default

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mm.cli import command
from mm.clock import DAY_ZONE, day_of, now_us
from mm.config import Source
from mm.console import Console
from mm.knobs import PATH, knob, knobs, matching, number, one_of, whole
from mm.logs import write_line
from mm.sim.flow.scenario import SCENARIOS, Flags, chosen
from mm.sim.flow.session import STEP_US, Session

if TYPE_CHECKING:
    from mm.sim.wire.box import Box

_HOURS = 24.0
_SYMBOL = next(one for one in knobs(Source) if one.name == "symbol")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Which exchange, and where it listens."""

    symbol: str = knob("SIMUSDT", _SYMBOL.reader, "The one symbol that is traded, in any case.")
    scenario: str = knob("poisson", one_of(*SCENARIOS), "The market.")
    seed: int = knob(0, whole(0, 2**63 - 1), "Key of every draw, and of the accounts' keys.")
    speed: float = knob(1.0, number(0, 10_000), "Seconds of the exchange in a second; 0 waits for POST /sim/advance.")
    start_ms: int | None = knob(
        None, whole(10**12, 10**13), "The exchange's first instant, Unix ms; without it now. It is rounded to 100 ms."
    )
    limits: str = knob("on", one_of("on", "off"), "Whether too many orders, requests and handshakes are refused.")
    faults: Path | None = knob(None, PATH, "A script of faults.")
    serve_host: str = knob("127.0.0.1", matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    serve_port: int = knob(0, whole(0, 65535), "Port to listen on; 0 takes a free one.", flag="--port")

    def session(self) -> Session:
        """Return when the exchange begins, and with which luck."""
        first_us = now_us() if self.start_ms is None else self.start_ms * 1_000
        begins_us = first_us - first_us % STEP_US
        return Session(self.symbol, day_of(begins_us, DAY_ZONE), _HOURS, self.seed, begins_us)


@command(Serving, Flags)
def main(console: Console, serving: Serving, flags: object) -> None:
    """Serve one symbol as Binance Spot does, on loopback; print one JSON line when ready. SIGTERM and Ctrl-C end it."""
    from mm.sim.wire.box import Box
    from mm.sim.wire.faults.script import load_script

    scenario = chosen(serving.scenario, flags)
    rules = load_script(serving.faults) if serving.faults else None
    box = Box(scenario, serving.session(), speed=serving.speed, limits=serving.limits == "on")
    if rules is not None:
        box.arm(rules)
    asyncio.run(_serve(box, console, serving))


async def _serve(box: "Box", console: Console, serving: Serving) -> None:
    """Be there until a signal comes, or the exchange fails."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number_, stopped.set)
    async with box.open(serving.serve_host, serving.serve_port):
        if serving.start_ms is None:
            box.pump.advance_to(now_us())
        ready = box.ready()
        console.log.info("serving", scenario=serving.scenario, speed=serving.speed, rest_url=ready["rest_url"])
        write_line(sys.stdout, json.dumps(ready))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait((stopping, box.pumping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()


if __name__ == "__main__":
    main()
