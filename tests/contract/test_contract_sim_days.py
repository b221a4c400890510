"""``mm sim day`` as a process: its folder, its truth, and an order log that a second matcher reproduces."""

import csv
import gzip
import hashlib
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from lab import Lab, mm
from second_matcher import CANCEL, IOC, LEVEL, LIMIT, MARKET, NEW, TRADE, Row, SecondMatcher, log_of, replayed

from mm.sim.matching._core import Matching

pytestmark = pytest.mark.slow  # a process for each case

SCENARIOS = ("poisson", "hawkes", "regimes", "gaps", "zero_intelligence", "large_tick")
HOURS = {"gaps": "0.25", "regimes": "0.1"}
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)
TRUTH = {"A", "k", "sigma_ticks_per_sqrt_s", "tick_size", "scenario", "seed", "sides"}
MORE_FLAGS = {"regimes": ("--regime-s", "120")}
FOLDER = Path("data", "SIMUSDT", "20260105")


def day_of(lab: Lab, scenario: str, name: str = "first") -> Path:
    """Return the folder of a few simulated minutes."""
    flags = (
        "--scenario",
        scenario,
        "--hours",
        HOURS.get(scenario, "0.03"),
        "--seed",
        "11",
        *MORE_FLAGS.get(scenario, ()),
    )
    done = lab.command(f"sim-days/{scenario}-{name}", "sim", "day", "--symbol", "SIMUSDT", "--day", "20260105", *flags)
    assert (done.code, done.err) == (0, "")
    return done.cwd / FOLDER


def bytes_of(folder: Path) -> dict[str, str]:
    """Return the digests of a folder's files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file))


def order_log(folder: Path) -> list[Row]:
    """Return the rows of the day's order log."""
    return log_of(next(folder.glob("order_log_*")))


@every_scenario
def test_equal_flags_write_equal_bytes(scenario: str, lab: Lab) -> None:
    """All files of the folder are equal."""
    first = bytes_of(day_of(lab, scenario))
    assert first == bytes_of(day_of(lab, scenario, "again"))
    assert {"truth.json", "instrument.json", "schema.json"} < set(first)


@every_scenario
def test_truth_has_contract_keys(scenario: str, lab: Lab) -> None:
    """The keys are the same for all scenarios; A is null where the scenario has none."""
    truth = json.loads((day_of(lab, scenario) / "truth.json").read_text())
    assert set(truth) >= TRUTH
    assert (truth["scenario"], truth["seed"], truth["tick_size"]) == (scenario, 11, 0.01)
    assert (truth["A"] is None) == (scenario in ("regimes", "zero_intelligence", "large_tick"))


@every_scenario
def test_data_check_passes_on_simulated_day(scenario: str, lab: Lab) -> None:
    """A simulated day passes the check of recorded days; only the scenario `gaps` has gaps."""
    report = mm("data", "check", str(day_of(lab, scenario)), "--json", cwd=lab.root).last
    assert (report["ok"], report["sealed"], report["defects"]) == (True, True, [])
    assert bool(report["gaps"]) == (scenario == "gaps")


@every_scenario
def test_second_matcher_reproduces_order_log(scenario: str, lab: Lab) -> None:
    """Trades, levels, queues and ids follow from the orders alone, by the rules of docs/exchange.md."""
    log = order_log(day_of(lab, scenario))
    assert {row[1] for row in log} >= {NEW, TRADE, LEVEL, CANCEL}
    assert replayed(log) == log


@every_scenario
def test_recorded_books_and_prints_match_order_log(scenario: str, lab: Lab) -> None:
    """Each frame is the book after its update id, and each print is one of the log's trades."""
    log = order_log(folder := day_of(lab, scenario))
    frames = iter(table(next(folder.glob("orderbook_ws_depth_*"))))
    trades = {row[8]: row for row in log if row[1] == TRADE}
    sides: dict[int, dict[int, int]] = {+1: {}, -1: {}}
    frame, compared = next(frames), 0
    for row in log:
        if row[1] != LEVEL:
            continue
        sides[row[5]][row[6]] = row[7]
        while frame and row[9] == int(frame["last_update_id"]):
            for side, word in ((+1, "bid"), (-1, "ask")):
                best = sorted((ticks for ticks, lots in sides[side].items() if lots), reverse=side > 0)[:20]
                recorded = [(frame[f"{word}{n}_price"], frame[f"{word}{n}_qty"]) for n in range(1, len(best) + 1)]
                assert recorded == [(f"{ticks / 100:.8f}", f"{sides[side][ticks] / 1000:.8f}") for ticks in best]
            frame, compared = next(frames, {}), compared + 1
    assert not frame
    assert compared > 50
    prints = table(next(folder.glob("trades_ws_*")))
    assert 0 <= len(trades) - len(prints) < (len(trades) if scenario == "gaps" else 1)
    for recorded in prints:
        _, _, _, _, _, side, ticks, lots, _, _ = trades[int(recorded["trade_id"])]
        assert (recorded["price"], recorded["qty"]) == (f"{ticks / 100:.8f}", f"{lots / 1000:.8f}")
        assert recorded["is_buyer_maker"] == ("true" if side < 0 else "false")


def test_second_matcher_detects_wrong_order_log(lab: Lab) -> None:
    """The comparison fails if one trade has a later order than it should."""
    log = order_log(day_of(lab, "zero_intelligence"))
    at = next(n for n, row in enumerate(log) if row[1] == TRADE)
    log[at] = (*log[at][:3], log[at][3] + 1, *log[at][4:])
    assert replayed(log) != log


@pytest.mark.parametrize(("band", "accounts", "most_lots"), [(4, 2, 5), (40, 4, 30), (300, 20, 1000)])
def test_random_commands_give_rows_of_second_matcher(band: int, accounts: int, most_lots: int) -> None:
    """Covers all order kinds, all modes of self-trade prevention, reductions and replacements; queues are compared."""
    draw, second, core = Random(band), SecondMatcher(), Matching()
    commands, us = [], 0
    for _ in range(8_000):
        us += draw.randrange(3)
        target = draw.choice([*list(second.orders)[-40:], draw.randrange(1, 9_000)])
        lots, ticks, side = draw.randrange(1, most_lots), 1000 + draw.randrange(-band, band), draw.choice((-1, +1))
        kind = draw.choices(range(5), (50, 15, 8, 6, 5))[0]
        match draw.choices(("submit", "cancel", "reduce", "replace"), (60, 22, 9, 9))[0]:
            case "submit":
                stp, account, ticks = draw.randrange(5), draw.randrange(accounts), 0 if kind == MARKET else ticks
                second.submit(us, account, side, ticks, lots, kind, stp)
                commands.append((us, 1, account, side, ticks, lots, kind, stp))
            case "cancel":
                second.cancel(us, target)
                commands.append((us, 2, 0, 0, 0, 0, 0, target))
            case "reduce":
                second.reduce(us, target, lots)
                commands.append((us, 3, 0, 0, 0, lots, 0, target))
            case "replace":
                kind = draw.choice((LIMIT, IOC))
                second.replace(us, target, ticks, lots, kind)
                commands.append((us, 4, 0, 0, ticks, lots, kind, target))
    core.run(np.array(commands, dtype=np.int64))
    assert [tuple(row) for row in core.take_log().tolist()] == second.rows
    for side in (+1, -1):
        queue = [order for key in second.prices[side] for order in second.queues[side][-side * key]]
        assert core.orders(side) == [(order["id"], order["account"], order["ticks"], order["lots"]) for order in queue]
