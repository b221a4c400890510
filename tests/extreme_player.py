"""Plays a small market with one value of one declared parameter, a case a line of stdin, in a process that may die.

Each answer is one line: ``ok``, ``refused`` with an error of ours, or ``raised`` with any other. A signal, a hang or an
allocation beyond the limit is seen by whoever reads the answers.
"""

import traceback
from pathlib import Path

import numpy as np

from engine_tapes import BEGIN_US, TEST
from extreme_process import answer_lines
from fill_predictors import written
from mm import Rules, Tape, backtest
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, declared
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.knobs import knobs
from mm.base.settings import REQUIRED
from mm.errors import MMError
from mm.play.knobs import Models, Sensitivity
from mm.play.market import feeds_given
from mm.signals.compute import compute
from mm.signals.families import FAMILIES
from rl_agents import agent_at
from simulation import SCENARIOS, simulate_day

GROUPS = (Execution, Account, Models, Risk, Sensitivity)
REQUIRED_OF = {  # a value of each required parameter
    **dict.fromkeys(("delta_ticks", "least_ticks", "per_sigma", "shift_ticks", "extra_ticks", "q_max"), 2.0),
    **dict.fromkeys(("skew_ticks", "phi", "eta", "by"), 0.1),
    **dict.fromkeys(("levels", "step_ticks", "ticks"), 2),
    "signal": "imbalance_1",
}
MODES = ("rolling", "session", "infinite", "closed_form", "stationary", "exact")
NUMBERS = [0, 1, -1, 5e-324, 1e-300, 1e-9, 1e-7, 0.3, 99.5, 1e6, 1e9, 1e12, 1e18, 1e300, 1.7e308, -1e-9, -1e300]
NUMBERS += [float("nan"), float("inf"), float("-inf"), 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30]
OTHERS = [True, None, "", "x" * 5_000, [], {}, [0], [float("nan")], [[0, 1], [1, 0.5]], [[0, 0], [0, 0]], {"A": 0}]


def market(later_us: int = 0) -> Tape:
    """Return five minutes of a book that moves, with prints and an outage, *later_us* after the usual instant."""
    chance, mid, events = np.random.default_rng(1), 10_000, []
    for half_s in range(600):
        us = BEGIN_US + later_us + 500_000 * half_s
        before, mid = mid, max(mid + int(chance.integers(-2, 3)), 10)
        if half_s in (0, 401):
            events.append((us, "snapshot", [(mid - 1, 50), (mid - 2, 90)], [(mid + 1, 50), (mid + 3, 90)]))
        elif half_s == 400:
            events.append((us, "gap"))
        else:
            bids, asks = {before - 1: 0, before - 2: 0}, {before + 1: 0, before + 3: 0}
            bids |= {mid - 1: int(chance.integers(1, 90)), mid - 2: 90}
            asks |= {mid + 1: int(chance.integers(1, 90)), mid + 3: 90}
            events.append((us, "depth", list(bids.items()), list(asks.items())))
            side = int(chance.choice([1, -1]))
            events.append((us + 1_000, "trade", side, mid + side * int(chance.integers(1, 4)), 40))
    return Tape.of(TEST, events)


RULES = Rules(TEST.tick_e8, TEST.lot_e8, start_cash_e8=10**16, start_lots=10_000, quote_lots=20)


def inner_of(name: str) -> object:
    """Return the models inside a registered one."""
    return {
        "steps": {"model": QUOTE_MODELS["fixed_spread"](delta_ticks=2), "steps": []},
        "mixed": {"models": [(QUOTE_MODELS["fixed_spread"](delta_ticks=2), 1.0)]},
        "hybrid": {"models": [FILL_MODELS["trade_cross"]()]},
    }.get(name, {})


class Player:
    """Plays cases on one market."""

    def __init__(self, scratch: Path) -> None:
        self.tape, self.scratch = market(), scratch
        self.files = {
            "rl": {"model_path": str(agent_at(scratch / "agent.zip", tick_e8=TEST.tick_e8))},
            "predicted": {"predictor": written(scratch / "fills")},
        }

    def base(self, name: str, declaration, mode: str | None) -> dict:
        """Return arguments with which a model can be made: required ones, A and k, and the mode."""
        own = {one.name: one for one in declaration.of_user()}
        needed = {one: REQUIRED_OF[one] for one in own if own[one].default is REQUIRED and one in REQUIRED_OF}
        given = needed | self.files.get(name, {}) | inner_of(name)
        given |= {"A": 1.0} if "A" in own else {}
        given |= {"k": 0.5} if "k" in own else {}
        return given | ({"mode": mode} if mode else {})

    def play(self, case: dict) -> None:
        """Play one case."""
        kind, name, values = case["kind"], case.get("name", ""), case["values"]
        if kind == "quote":
            build = QUOTE_MODELS[name]
            given = self.base(name, declared(build), case.get("mode")) | values
            run_wide = {key: given.pop(key) for key in list(given) if key.startswith("sigma_")}
            if run_wide:
                params = {key: value for key, value in given.items() if key not in ("model", "models", "steps")}
                backtest(self.tape, (name, params | run_wide), sensitivity=False)
                return
            backtest(self.tape, build(**given), FILL_MODELS["trade_cross"](), RULES)
        elif kind == "step":
            inner = QUOTE_MODELS["fixed_spread"](delta_ticks=2)
            build = QUOTE_STEPS[name]
            quotes = build(inner, **(self.base(name, declared(build), None) | values))
            backtest(self.tape, quotes, FILL_MODELS["trade_cross"](), RULES)
        elif kind == "fill":
            build = FILL_MODELS[name]
            given = self.base(name, declared(build), None) | values
            if {"bid", "ask"} & set(values):
                given = {key: value for key, value in given.items() if key not in ("A", "k")}
            backtest(self.tape, QUOTE_MODELS["fixed_spread"](delta_ticks=1), build(**given), RULES)
        elif kind == "signal":
            for _ in compute(self.tape, [name], others=feeds_given([self.tape], {"lead": self.tape})):
                pass
        elif kind == "knob":
            backtest(self.tape, **values, **({} if "sensitivity" in values else {"sensitivity": False}))
        else:
            own = {one.name: one for one in knobs(SCENARIOS[name])}
            parameters = {key: own[key].read(text) for key, text in values.items()}
            simulate_day(self.scratch, name, hours=0.02, seed=1, **parameters)

    def answer(self, case: dict) -> str:
        """Return the outcome of a case in one line."""
        try:
            self.play(case)
        except MMError as error:
            return f"refused {error}"
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            return f"raised {type(error).__name__}: {error} at {last.filename}:{last.lineno}"
        return "ok"


def cases() -> list[dict]:
    """Return every case: each declared parameter of each registered model and scenario, each knob, each signal."""
    found = []
    for kind, registry in (("quote", QUOTE_MODELS), ("step", QUOTE_STEPS), ("fill", FILL_MODELS)):
        for name, build in registry.items():
            own = declared(build).of_user()
            modes = next((one.reader.metavar for one in own if one.name == "mode"), "")
            words = [
                word
                for word in ("rolling", "session", "infinite", "closed_form", "stationary", "exact")
                if word in modes
            ]
            for one in own:
                for mode in words or [None]:
                    for value in (*NUMBERS, *OTHERS):
                        case = {"kind": kind, "name": name, "values": {one.name: value}}
                        found.append(case | ({"mode": mode} if mode and one.name != "mode" else {}))
    texts = [str(value) for value in NUMBERS] + ["", "x", "0,0", "1:0", "[]", "{}", "1e400"]
    for group in GROUPS:
        found += [{"kind": "knob", "values": {one.name: text}} for one in knobs(group) for text in texts]
    for name, scenario in SCENARIOS.items():
        found += [
            {"kind": "scenario", "name": name, "values": {one.name: text}} for one in knobs(scenario) for text in texts
        ]
    whole = ["0", "1", "20", "21", "1000000", "99999999999", str(2**63), "9" * 40]
    for family in FAMILIES:
        for number in whole if family.build is not None else ():
            name = family.name.replace("{o}", "lead").replace("{s}", "imbalance_{n}").replace("{n}", number)
            name = name.replace("{w}", f"{number}s").replace("{e}", f"{number}e")
            for text in (name, name.replace(f"{number}s", f"{number}ms")):
                found.append({"kind": "signal", "name": text, "values": {}})
    return [one for place, one in enumerate(found) if one not in found[max(place - 16, 0) : place]]


if __name__ == "__main__":
    answer_lines(lambda scratch: Player(scratch).answer)
