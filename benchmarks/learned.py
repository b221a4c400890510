"""Signals, predictors and agents trained on the first half of a recorded market, and measured on its second half."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import mm
from mm.clock import US_PER_S
from mm.errors import MMError

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.calibration.fit_result import PoissonFit
    from mm.tape.tape import Tape

HORIZONS_S = (1.0, 10.0)  # horizons of signals
HORIZON_S = 10.0  # horizon of predictors
FEES = ("0", "0.001")
FITTED = ("logistic", "forest", "mlp")
Q_MAX = 10.0  # clips
MIN_HALF_S = 300.0  # shorter halves are neither fitted nor traded
SEEDS, DECISIONS = (0, 1, 2), 30_000  # seeds and training decisions of agents
EPISODE_S = 120.0
DRAWS = 2000
BLOCK_S, BLOCKS = 300.0, 30  # blocks of a bootstrap: maximum length, and minimum number
Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Market:
    """A capture: its label, its files, symbol, steps and clip as decimals, and its import format."""

    name: str
    files: str
    symbol: str
    tick: str
    step: str
    clip: str
    form: str = "raw"


class Halves(NamedTuple):
    """The tapes of a market before and after the middle of its recorded time."""

    known: list["Tape"]
    unseen: list["Tape"]

    @property
    def hours(self) -> tuple[float, float]:
        """The lengths of both."""
        known, unseen = (sum(one.end_us - one.start_us for one in half) / 3.6e9 for half in self)
        return known, unseen


def halves_of(tapes: Sequence["Tape"]) -> Halves:
    """Return the tapes before and after the middle of their time; a tape across the middle is split."""
    lengths = [one.end_us - one.start_us for one in tapes]
    left = sum(lengths) // 2
    known: list[Tape] = []
    unseen: list[Tape] = []
    for tape, length in zip(tapes, lengths, strict=True):
        middle = tape.start_us + min(left, length)
        left -= middle - tape.start_us
        if middle > tape.start_us:
            known.append(tape if middle == tape.end_us else tape.between(tape.start_us, middle))
        if middle < tape.end_us:
            unseen.append(tape if middle == tape.start_us else tape.between(middle, tape.end_us))
    return Halves(known, unseen)


def answer_of(captures: Path, folder: Path, market: Market) -> dict[str, Any]:
    """Return the results of one market, as JSON values; *folder* keeps its days and its predictors."""
    own = folder / market.name.replace(" ", "_")
    return {"name": market.name, **Answer(halves_of(_tapes(captures, own, market)), market.clip, own).to_json()}


def _tapes(captures: Path, folder: Path, market: Market) -> list["Tape"]:
    """Return the tapes of a capture, which is imported into *folder*."""
    from mm.backtest.io import load_day
    from mm.dayfolder.layout import day_folder, days_of
    from mm.market_data.capture_import import CAPTURE_FORMS, ImportOptions, import_captures

    options, form = ImportOptions(tick_size=market.tick, qty_step=market.step), CAPTURE_FORMS[market.form]
    paths = sorted(captures.glob(market.files))
    import_captures(paths, market.symbol, folder, run_id="learning", options=options, form=form)
    return [load_day(day_folder(folder, market.symbol, day)) for day in days_of(folder, market.symbol)]


@dataclass
class Answer:
    """The results of one market.

    Attributes:
        halves: The training half, and the test half.
        clip: Quantity of a quote, base asset, a decimal.
        folder: Folder of the predictors.
        seeds: Seeds of the agents.
        timesteps: Number of training decisions of each agent.
    """

    halves: Halves
    clip: str
    folder: Path
    seeds: Sequence[int] = SEEDS
    timesteps: int = DECISIONS

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        known, unseen = self.halves.hours
        long = min(known, unseen) * 3600 >= MIN_HALF_S
        predictors = list(self.predictors()) if long else [{"target": "all", "reason": "too short to fit anything"}]
        return {
            "hours": [known, unseen],
            "tick_bp": 1e4 * self.tick / self.price,
            "signals": list(self.signals()),
            "predictors": predictors,
            "backtests": list(self.backtests(predictors)) if long else [],
            "agents": list(self.agents()) if long and find_spec("stable_baselines3") else [],
        }

    @cached_property
    def tick(self) -> float:
        """The price step, quote asset."""
        return self.halves.known[0].instrument.tick_e8 / 1e8

    @cached_property
    def price(self) -> float:
        """The first mid, quote asset."""
        tape = self.halves.known[0]
        quoted = int(np.flatnonzero((tape.top_bid_ticks > 0) & (tape.top_ask_ticks > 0))[0])
        return 0.5 * self.tick * float(tape.top_bid_ticks[quoted] + tape.top_ask_ticks[quoted])

    @cached_property
    def fit(self) -> "PoissonFit":
        """A and k of the first half."""
        return mm.calibrate(self.halves.known)

    def signals(self) -> Iterator[dict[str, Any]]:
        """Yield the rank correlation of each signal and horizon on the second half, with that of the first.

        ``predicts``: the 95 % interval excludes 0 on the side of the first half. With several tapes per half, the
        longest one counts, since a score belongs to one day.
        """
        from mm.signals.families import SIGNALS
        from mm.signals.micro_price import fit_micro_price
        from mm.signals.score import score

        fit = fit_micro_price(self.halves.known)
        names = [name for name in SIGNALS.usual if name != "mid" and (fit or name != "micro_price")]
        known, unseen = (max(half, key=lambda one: one.end_us - one.start_us) for half in self.halves)
        before = score(known, names, fit, HORIZONS_S)
        for first, second in zip(before, score(unseen, names, fit, HORIZONS_S), strict=True):
            ends = second.ci95 if first.rho is not None else None
            row = {"signal": second.signal, "horizon_s": second.horizon_s, "rho": second.rho, "ci95": ends}
            sign = math.copysign(1.0, first.rho or 0.0)
            yield row | {"predicts": ends is not None and min(sign * one for one in ends) > 0.0}

    def predictors(self) -> Iterator[dict[str, Any]]:
        """Yield the best model of each target, fitted on the first half, with its score on the second."""
        from mm.commands.predict import SIGNALS
        from mm.predict.apply import rescore
        from mm.predict.artefact import Artefact, write
        from mm.predict.samples import TARGETS, Task, distances_of
        from mm.predict.scoring import beats
        from mm.predict.walk import learn

        for target in TARGETS:
            folder = self.folder / target
            try:
                distances = distances_of(self.halves.known) if target == "fill" else ()
                task = Task(target, HORIZON_S, SIGNALS, distances)
                learned = [learn(self.halves.known, task, model) for model in FITTED]
                about, arrays = max(learned, key=lambda one: float(one.about["score"]["difference"]))
                folder.mkdir(parents=True, exist_ok=True)
                write(folder, about, arrays)
                found = rescore(Artefact.read(folder), self.halves.unseen)
            except MMError as error:
                yield {"target": target, "reason": str(error).partition(";")[0]}
                continue
            walked = about["score"]
            row = {"target": target, "folder": str(folder), "model": about["model"], "usable": beats(found)}
            row |= {"walked": walked["difference"], "walked_ci95": walked["difference_ci95"]}
            row |= {name: found[name] for name in ("best_baseline", "difference", "difference_ci95", "metric")}
            fee_ticks = 2 * float(FEES[-1]) * self.price / self.tick
            yield row | {"trading": found.get("trading"), "fee_ticks": fee_ticks}

    def backtests(self, predictors: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield backtests on the second half without and with each predictor, at each fee."""
        folders = {str(one["target"]): str(one["folder"]) for one in predictors if "folder" in one}
        if not self.fit.usable:
            return
        for fee in FEES:
            fee_ticks = float(fee) * self.price / self.tick
            plain = {"q_max": Q_MAX, "fee_ticks": fee_ticks, "skew_ticks": 0.1 / (self.fit.k or 1.0)}
            variants: list[tuple[str, str, dict[str, Any]]] = [("expected_value", "", plain)]
            variants += [("expected_value", one, plain | {"predictors": [folders[one]]}) for one in folders]
            variants.append(("avellaneda_stoikov", "", {}))
            if "return" in folders:
                shift = ["shift_by", {"signal": folders["return"], "by": 1}]
                variants.append(
                    ("avellaneda_stoikov", "return", {"model": ["avellaneda_stoikov", {}], "steps": [shift]})
                )
            base: dict[str, Floats] = {}
            for quotes, target, params in variants:
                name = "steps" if "steps" in params else quotes
                result = mm.backtest(
                    self.halves.unseen,
                    name,
                    fit=self.fit,
                    quote_params_json=params,
                    sensitivity=False,
                    **self._knobs(fee),
                )
                gains = self._gains(result)
                row = {"fee": fee, "quotes": quotes, "with": target, **_measured(result, gains, base.get(quotes))}
                base.setdefault(quotes, gains)
                yield row

    def agents(self) -> Iterator[dict[str, Any]]:
        """Yield Avellaneda-Stoikov, the symmetric quoter and agents of several seeds on the second half."""
        from mm.backtest.quotes.simple import Agent, strategy_of
        from mm.cli.task_knobs import Learning
        from mm.rl.evaluation import baselines
        from mm.rl.training import train_agent
        from mm.rl.training_days import EngineKnobs

        learning = Learning(timesteps=self.timesteps, episode_s=EPISODE_S)
        for fee in FEES:
            base: Floats | None = None
            for seed in self.seeds:
                knobs = EngineKnobs.of({**self._knobs(fee), "seed": seed})
                agent = train_agent(self.halves.known, knobs, learning).agent
                policies = {**baselines(agent)} if base is None else {}
                policies[f"rl, seed {seed}"] = strategy_of(Agent(agent.terms, agent))
                for name, quotes in policies.items():
                    result = self._played(quotes, knobs)
                    gains = self._gains(result)
                    base = gains if base is None else base
                    compared = None if name == "avellaneda_stoikov" else base
                    yield {
                        "fee": fee,
                        "policy": name,
                        "timesteps": agent.about["timesteps"],
                        **_measured(result, gains, compared),
                    }

    def _played(self, quotes: object, knobs: Any) -> "Result":
        """Return the backtest of a strategy on the second half, under the rules of an agent's training."""
        from mm.play.market import Markets
        from mm.play.play import GivenModels, Play

        return Play.of(knobs.of_engine, Markets(self.halves.unseen), given=GivenModels(quotes)).run()

    def _knobs(self, fee: str) -> dict[str, Any]:
        """Return the settings of every run, with balances for 30 clips each way, which do not count as a position."""
        held = 30 * float(self.clip)
        return {
            "maker_fee_rate": fee,
            "quote_qty": self.clip,
            "initial_inventory": f"{held:.8f}",
            "initial_cash": f"{2 * held * self.price:.2f}",
        }

    def _gains(self, result: "Result") -> Floats:
        """Return the profit of each second, in bp of a clip, without that of the initial inventory."""
        rows = result.state.drop_nulls("equity")
        us, inventory, mid, equity = (rows[name].to_numpy() for name in ("recv_us", "inventory", "mid", "equity"))
        earned = equity - inventory[0] * mid
        at = np.maximum(np.searchsorted(us, seconds_of(result.tapes), side="right") - 1, 0)
        gains = 1e4 * np.diff(earned[at]) / (self.price * float(self.clip))
        return np.where(np.abs(gains) > 1e-6, gains, 0.0)  # differences of floats


def seconds_of(tapes: Sequence["Tape"]) -> NDArray[np.int64]:
    """Return the whole seconds of the recorded time, µs; the time between two days is excluded."""
    return np.concatenate([np.arange(one.start_us, one.end_us + 1, US_PER_S) for one in tapes])


def _measured(result: "Result", gains: Floats, base: Floats | None) -> dict[str, Any]:
    """Return fills, inventory, and the profit, also relative to *base*, in bp of a clip per hour."""
    rows = result.journal.state
    at = np.maximum(np.searchsorted(rows[:, 0], seconds_of(result.tapes), side="right") - 1, 0)
    gains_over_base = None if base is None else gains - base
    return {
        "fills": len(result.journal.fills),
        "held": float(np.abs(rows[at, 1] - rows[0, 1]).mean()) / result.terms.quote_lots,
        "earned": 3600 * float(gains.mean()),
        "earned_ci95": interval(gains),
        "more": None if gains_over_base is None else 3600 * float(gains_over_base.mean()),
        "more_ci95": None if gains_over_base is None else interval(gains_over_base),
    }


def interval(gains: Floats) -> list[float] | None:
    """Return the 95 % interval of the mean gain per hour, by a bootstrap of blocks of equal time; None without gains.

    Args:
        gains: Gain of each second.
    """
    length = int(max(min(BLOCK_S, len(gains) / BLOCKS), 1.0))
    count = len(gains) // length
    if count < BLOCKS // 2 or not gains.any():
        return None
    sums = gains[len(gains) - count * length :].reshape(count, length).sum(axis=1)
    draws = np.random.default_rng(0).integers(0, count, (DRAWS, count))
    low, high = np.quantile(sums[draws].mean(axis=1), (0.025, 0.975)) * 3600 / length
    return [float(low), float(high)]
