"""The commands of simulation: knobs, arguments and help."""

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import click

from mm.backtest.risk import Risk
from mm.base.common_knobs import data_root_knob, day_knob, seed_knob, symbol_knob
from mm.base.knobs import (
    PATH,
    REQUIRED,
    Reader,
    closest,
    day_list,
    integer,
    knob,
    knobs,
    matching,
    number,
    numbers,
    one_of,
    shown,
)
from mm.cli.config import Doors
from mm.cli.frame import command
from mm.errors import UsageError
from mm.play.knobs import Results, Source
from mm.sim.flow.scenario import SCENARIOS, ScenarioParameters

_SEED = "Seed of all random draws"


_SCENARIO = f"The market: {', '.join(SCENARIOS)}"


@dataclass(frozen=True, kw_only=True)
class SimulatedDays(Source):
    """Options of the simulated days and of their market."""

    day: tuple[str, ...] = knob(
        REQUIRED,
        Reader("DAY", day_list),
        "YYYYMMDD, a list 20260105,20260106 or a range 20260105:20260109.",
        common="YYYYMMDD, a list, or a range FIRST:LAST",
    )
    hours: float = knob(
        14.0,
        number(0.01, 24),
        "Length of a day's session, which opens at 08:00 Berlin time.",
        common="Length of a day, from 08:00 in Berlin",
    )
    seed: int = seed_knob("Seed of all random draws; each day of a range has different draws.", common=_SEED)
    scenario: str = knob("poisson", one_of(*SCENARIOS), "The market.", common=_SCENARIO)


sim_day = command(
    SimulatedDays,
    ScenarioParameters,
    defaults={"symbol": "SIMUSDT"},
    body="mm.sim.__main__:day",
    text="Make simulated days: day folders in the format of a recorder, and the truth of their market in truth.json.",
)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Parameters of the served exchange, and its address."""

    symbol: str = symbol_knob(
        "The traded symbol, or a list on the same accounts.", "SIMUSDT", many=True, common="The symbol, or a list"
    )
    scenario: str = knob("poisson", one_of(*SCENARIOS), "The market.", common=_SCENARIO)
    seed: int = seed_knob("Seed of all random draws and of the accounts' keys.", common=_SEED)
    speed: float = knob(
        1.0,
        number(0, 10_000),
        "Exchange seconds per second; 0 waits for POST /sim/advance.",
        common="Exchange seconds per second",
    )
    start_ms: int | None = knob(
        None,
        integer(10**12, 10**13),
        "Start time of the exchange, Unix ms; default: now. It is rounded down to 100 ms.",
    )
    limits: str = knob("on", one_of("on", "off"), "Whether excess orders, requests and handshakes are refused.")
    faults: Path | None = knob(None, PATH, "Fault script.", common="Fault script")
    serve_host: str = knob("127.0.0.1", matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    serve_port: int = knob(
        0, integer(0, 65535), "Port to listen on; 0 for a free one.", flag="--port", common="Port; 0: a free one"
    )


sim_serve = command(
    ServeOptions,
    ScenarioParameters,
    body="mm.sim.__main__:serve",
    text="""
    Serve symbols as Binance Spot does, on loopback; print one JSON line when ready. SIGTERM and Ctrl-C end it.

    Several symbols have the same users, with one balance of the quote asset; faults apply to the first.
    """,
)

SYNTHETIC, REPLAY, YAHOO, ALPHAVANTAGE = "synthetic", "replay", "yahoo", "alphavantage"
_PRESETS = ("equity", "future", "crypto")


@dataclass(frozen=True, kw_only=True)
class TradingInterface(Doors):
    """Parameters of the served market, and its address."""

    scenario: str = knob(
        "poisson", one_of(*SCENARIOS), "The synthetic market.", common=f"The synthetic market: {', '.join(SCENARIOS)}"
    )
    data_source: str = knob(
        SYNTHETIC,
        one_of(SYNTHETIC, REPLAY, YAHOO, ALPHAVANTAGE),
        "Source of the market data.",
        common="Source of the market data",
    )
    day: str | None = day_knob("The recorded day of --data-source replay.", None, common="The day to replay")
    data_root: Path = data_root_knob("Folder of the day folders.", common="")
    bar_interval: str = knob("1m", one_of("1m", "5m", "15m", "30m", "60m"), "Length of a bar of yahoo, alphavantage.")
    bars_url: str | None = knob(None, matching(r"https?://\S+", "an address"), "Address of yahoo or alphavantage.")
    symbol: str = knob(
        "SIMUSDT", matching(r"[A-Za-z0-9.=^_-]{1,32}", "a symbol such as AAPL"), "The symbol.", common="The symbol"
    )
    preset: str | None = knob(
        None,
        one_of(*_PRESETS),
        "Steps, multiplier, fees, hours and short sales of an asset class.",
        common="Asset class",
    )
    seed: int = seed_knob(common="Seed of all random draws")
    speed: float = knob(1.0, number(0.001, 10_000), "Exchange seconds per second.")
    serve_host: str = knob("127.0.0.1", matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    api_port: int = knob(
        8000, integer(0, 65535), "Port to listen on; 0 for a free one.", flag="--port", common="Port; 0: a free one"
    )


LIMITS = ("max_position", "max_open_orders", "max_order_notional", "price_band", "max_orders_per_s", "max_daily_loss")


ClientLimits: type = make_dataclass(
    "ClientLimits",
    [(one.name, Any, knob(None, one.reader, one.help, common=one.common)) for one in knobs(Risk) if one.name in LIMITS],
    namespace={"__doc__": "Limits of each client; no limit by default."},
    frozen=True,
    kw_only=True,
)


KEY = "ALPHAVANTAGE_API_KEY"


_KEY_OPTION = click.Option(
    ["--api-key"], metavar="KEY", help=f"Key of Alpha Vantage; better set {KEY}: flags are in the shell's history."
)


sim_api = command(
    TradingInterface,
    Results,
    ClientLimits,
    ScenarioParameters,
    arguments=[_KEY_OPTION],
    body="mm.api.command:api",
    text="""
    Serve one symbol for trading clients over HTTP and WebSocket, with OpenAPI at /docs; SIGTERM and Ctrl-C end it.

    Example: mm sim api --preset equity --max-position 500
    """,
)

STRATEGIES = ("inventory", "symmetric", "glft_exact", "glft_closed_form")


def _strategies(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in STRATEGIES:
            raise ValueError(f"one or more of {', '.join(STRATEGIES)}{closest(name, STRATEGIES)}")
    if len(set(names)) < len(names):
        raise ValueError("a list without repeats, such as inventory,symmetric")
    return names


_MOST_STEPS = 100_000


@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """Options of the experiment; units are prices, seconds and units of inventory, as in the paper."""

    gamma: tuple[float, ...] = knob((0.1, 0.01, 1.0), numbers(1e-6, 1000), "Risk aversions, 1/(price·unit).")
    A_per_s: float = knob(140.0, number(1e-9, 1e9), "Fills per second of a quote at the mid.", flag="--A")
    k_per_price: float = knob(1.5, number(1e-9, 1e9), "Decay of the fill rate with distance, 1/price.", flag="--k")
    sigma_price_per_sqrt_s: float = knob(2.0, number(0, 1e6), "Volatility of the mid, price/√s.", flag="--sigma")
    horizon_s: float = knob(1.0, number(1e-6, 1e9), "Length of a session.", flag="--T")
    step_s: float = knob(
        0.005, number(1e-9, 1e9), "Length of a step; a session must be a whole number of steps.", flag="--dt"
    )
    paths: int = knob(1000, integer(2, 10**9), "Simulated sessions per row.")
    seed: int = seed_knob("Seed of all random draws; those of a row do not depend on the others.")
    strategy: tuple[str, ...] = knob(
        ("inventory", "symmetric"), Reader("NAME,NAME,…", _strategies), f"Quoting rules: {', '.join(STRATEGIES)}."
    )

    def steps(self) -> int:
        """Return the number of steps of a session.

        Raises:
            UsageError: If the number is not whole, or too large.
        """
        flag = f"--dt (STEP_S) is {shown(self.step_s)} and --T (HORIZON_S) is {shown(self.horizon_s)}"
        if self.step_s > self.horizon_s:
            raise UsageError(f"{flag}: a step must not be longer than the session; choose a smaller --dt")
        steps = round(self.horizon_s / self.step_s)
        if steps > _MOST_STEPS:
            raise UsageError(
                f"{flag}: that is {steps:,} steps, and the maximum is {_MOST_STEPS:,}; choose a larger --dt"
            )
        if abs(steps * self.step_s - self.horizon_s) > 1e-9 * self.horizon_s:
            raise UsageError(
                f"{flag}: that is {self.horizon_s / self.step_s:.6g} steps, and a session must be a whole number of "
                f"them; --dt {self.horizon_s / steps:.12g} makes {steps}"
            )
        return steps


sim_as2008 = command(
    PaperOptions,
    body="mm.sim.__main__:as2008",
    text="Print the tables of Avellaneda and Stoikov (2008): published, exact and simulated.",
)
