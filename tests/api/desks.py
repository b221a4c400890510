"""Desks for the tests: a market around 100 without order flow, with the grid of scenario `empty`, and a fixed time."""

import time
from dataclasses import replace

from mm.api.desk import Desk
from mm.api.market import DeskMarket
from mm.backtest.preset import PLAIN
from mm.backtest.risk import NO_RISK, limits_of
from mm.instrument import E8, Instrument
from mm.sim.flow.market import NoFlow
from mm.sim.matching._core import Matching

START_US = 1_767_600_000_000_000
GRID = Instrument("SIMUSDT", E8 // 100, E8 // 1_000)


def still_desk(preset=PLAIN, grid=GRID, **limits) -> Desk:
    """Return a desk on which only clients trade, with limits by knob."""
    limits_given = limits_of(replace(NO_RISK, **limits))
    desk = Desk(Matching(), NoFlow(), grid, preset, *([limits_given] if limits_given else []))
    desk.advance(START_US)
    return desk


def still_market(preset=PLAIN, grid=GRID, seconds=time.monotonic, **limits) -> DeskMarket:
    """Return such a desk with its readers, at a fixed time."""
    return DeskMarket(still_desk(preset, grid, **limits), START_US, speed=0, seconds=seconds)
