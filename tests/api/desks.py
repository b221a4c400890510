"""Desks for the tests: a market around 100 without order flow, with the grid of scenario `empty`, and a fixed time."""

import time
from dataclasses import replace
from types import SimpleNamespace

from mm.api.desk import Desk
from mm.api.desk_market import DeskMarket
from mm.backtest.preset import PLAIN, PRESETS, Fees
from mm.backtest.risk import NO_RISK, limits_of
from mm.instrument import E8, Instrument
from mm.sim.flow.order_flow import NoFlow
from mm.sim.matching._core import Matching

START_US = 1_767_600_000_000_000
GRID = Instrument("SIMUSDT", E8 // 100, E8 // 1_000)


def still_desk(preset=PLAIN, grid=GRID, *, fees=None, **limits) -> Desk:
    """Return a desk on which only clients trade, with limits by knob; fees are per unit and as a share, 1e-8."""
    preset = PRESETS[preset] if isinstance(preset, str) else preset
    preset = preset if fees is None else replace(preset, fees=Fees(*fees))
    limits_given = limits_of(replace(NO_RISK, **limits))
    desk = Desk(Matching(), NoFlow(), grid, preset, *([limits_given] if limits_given else []))
    desk.advance(START_US)
    return desk


def still_market(preset=PLAIN, grid=GRID, seconds=time.monotonic, **limits) -> DeskMarket:
    """Return such a desk with its readers, at a fixed time."""
    return DeskMarket(still_desk(preset, grid, **limits), START_US, speed=0, seconds=seconds)


def market_of(limits=None, flags=None, **options):
    """Return the market that ``mm sim api`` makes of its options, without limits or with some."""
    from mm.api.command import LIMITS, TradingInterface, made_market
    from mm.sim.flow.scenario import ScenarioParameters

    given = SimpleNamespace(**{**dict.fromkeys(LIMITS), **(limits or {})})
    return made_market(TradingInterface(**options), given, flags or ScenarioParameters())
