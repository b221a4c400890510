"""``mm.rl.MarketMaking-v0``: market making on the paper exchange as a gymnasium environment."""

from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from mm.backtest.quotes.agent_file import CHOICES, AgentTerms
from mm.base.arrays import Floats
from mm.calibration.fit_result import PoissonFit
from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.play.models import read_fitted
from mm.rl._stepper import REWARDS, Driven, Stepper
from mm.rl.training_days import AgentShape, EngineKnobs, TrainingDay, fitted_terms, open_days
from mm.tape.tape import Tape

WEIGHTS = {"pnl": 0.0, "spread_inventory": 0.01, "utility": 0.001}
"""Default weight of each reward: φ in ticks/(clip·s), γ in 1/(tick·clip)."""
LARGEST = 5.0  # observations are clipped to this
Observation = NDArray[np.float32]


class MarketMaking(gymnasium.Env[Observation, Any]):
    """Quote on recorded or simulated days: an episode is a part of one of them, with *episode_s* of covered time.

    The exchange is a backtest's: latencies, queues, fees, balances, filters. An action applies for *step_s*; each
    requote in it uses the current market.

    Args:
        days: Folders or tapes; each episode draws one.
        reward: ``pnl``, the change of equity in the quote asset; ``spread_inventory``, the gain of fills against the
            mid after fees, less φ·q² per second (Cartea, Jaimungal); ``utility``, the change of (1 - exp(-γ·W))/γ, W
            the gain in tick·clips (Avellaneda, Stoikov).
        discrete: An action is an index into 75 choices; else bid offset, ask offset and size, each in [-1, 1].
        weight: φ or γ; default from `WEIGHTS`.
        signals: Observed signals; default `USUAL_SIGNALS`.
        step_s, episode_s, max_offset_ticks, q_max: See `AgentShape`.
        fit: A fit of earlier days, or its file: quotes without offset are then 1/k from the mid.
        terms: An agent's terms, instead of fitted ones; for out-of-sample days.
        knobs: Knobs of the engine as objects, instead of *settings*.
        settings: Knobs of ``mm backtest`` by field name (``order_latency_ms``, ``fill_model``, ``maker_fee_rate``).

    Raises:
        TypeError: If a knob is unknown.
        UsageError: If a value is invalid.
        DataError: If a day cannot be used.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - gymnasium's own name and type

    def __init__(  # noqa: PLR0913 - public parameters of the environment
        self,
        days: Sequence[Tape | Path | str],
        reward: str = "pnl",
        discrete: bool | None = None,
        *,
        weight: float | None = None,
        fit: PoissonFit | Path | str | None = None,
        terms: AgentTerms | None = None,
        cache: Path | str | None = None,
        knobs: EngineKnobs | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if reward not in REWARDS:
            raise UsageError(f"reward is {reward!r}; it must be one of {', '.join(REWARDS)}")
        if render_mode not in (None, "ansi"):
            raise UsageError(f"render_mode is {render_mode!r}; it must be 'ansi' or None")
        shape = {name: settings.pop(name) for name in AgentShape.__dataclass_fields__ if name in settings}
        shape |= {} if discrete is None else {"discrete": discrete}
        if terms is not None and (shape or fit is not None):
            raise UsageError(f"terms set everything, so {', '.join(shape) or 'fit'} would have no effect; leave it out")
        if knobs is not None and settings:
            raise UsageError(f"knobs were given as objects, and {', '.join(settings)} as well; give one of them")
        self._played = EngineKnobs.of(settings) if knobs is None else knobs
        self._days = open_days(days, self._played, None if cache is None else Path(cache))
        if terms is None:
            listed = {"signals": tuple(shape["signals"])} if "signals" in shape else {}
            terms = fitted_terms(self._days, AgentShape(**shape | listed), _read(fit))
        terms.check_tick(self._days[0].tape.instrument.tick_e8)
        self.terms, self.render_mode = terms, render_mode
        self._reward, self._weight = reward, WEIGHTS[reward] if weight is None else weight
        if not 0.0 <= self._weight < 1e6 or (reward == "utility" and self._weight == 0.0):
            raise UsageError(f"weight is {weight}; it must be above 0")
        self._steps = max(round(terms.episode_s / terms.step_s), 1)
        self._stepper: Stepper | None = None
        self._day: TrainingDay = self._days[0]
        self.observation_space = spaces.Box(-LARGEST, LARGEST, (terms.inputs,), np.float32)
        self.action_space = spaces.Discrete(CHOICES) if terms.discrete else spaces.Box(-1.0, 1.0, (3,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        wanted = dict(options or {})
        number = _whole("day", wanted.pop("day", self._drawn_day()))
        if not 0 <= number < len(self._days):
            raise UsageError(f"options: day is {number}; it must be a number from 0 to {len(self._days) - 1}")
        self._day = self._days[number]
        tape = self._day.tape
        last_us = max(tape.end_us - round(self.terms.episode_s * US_PER_S), tape.start_us)
        drawn_us = self.np_random.integers(tape.start_us, last_us, endpoint=True)
        start_us = _whole("start_us", wanted.pop("start_us", drawn_us))
        draws_seed = int(self.np_random.integers(2**31)) if self._played.seed is None else self._played.seed
        if wanted:
            raise UsageError(f"options: unknown {', '.join(wanted)}; available: day, start_us")
        if not tape.start_us <= start_us < tape.end_us:
            raise UsageError(f"options: start_us is {start_us}; it must be from {tape.start_us} to {tape.end_us - 1}")
        begun_us = self._day.valid_from(start_us)
        if begun_us >= tape.end_us:  # no book until the end: begin at the start of the day
            begun_us = self._day.valid_from(tape.start_us)
        driven = Driven(self.terms)
        exchange = self._day.exchange(driven, tape.between(begun_us, tape.end_us), draws_seed)
        self._stepper = Stepper(exchange, driven, begun_us, tape.end_us, self._reward, self._weight)
        info = self._info() | {"day": number, "start_us": begun_us, "seed": draws_seed}
        return self._stepper.observe(), info

    def _drawn_day(self) -> int:
        lengths = np.cumsum([day.tape.end_us - day.tape.start_us for day in self._days])
        return int(np.searchsorted(lengths, self.np_random.integers(lengths[-1]), side="right"))

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """It is never terminated; ResetNeeded after the end, ValueError for an invalid action."""
        stepper = self._stepper
        if stepper is None or stepper.ended or stepper.decisions >= self._steps:
            raise ResetNeeded("the episode has ended; call reset()")
        if self.terms.discrete:
            stepper.pick(_choice(action))
        else:
            stepper.choose(_offsets(action))
        reward = stepper.step()
        ended = stepper.ended or stepper.decisions >= self._steps
        return stepper.observe(), reward, False, ended, {"equity": stepper.equity, "inventory": stepper.inventory}

    @property
    def tick_clip(self) -> float:
        rules = self._days[0].rules
        return rules.tick_e8 * rules.lot_e8 * rules.quote_lots * 1e-16

    def render(self) -> str | None:
        if self.render_mode is None or self._stepper is None:
            return None
        played = self._stepper
        return f"{played.decisions}/{self._steps} equity {played.equity:.8g} inventory {played.inventory:.8g}"

    def _info(self) -> dict[str, Any]:
        assert self._stepper is not None
        return {"equity": self._stepper.equity, "inventory": self._stepper.inventory}


def _choice(action: Any) -> int:
    try:
        return index(action)
    except TypeError:
        raise ValueError(f"the action is {action!r}; it must be a whole number from 0 to {CHOICES - 1}") from None


def _offsets(action: Any) -> Floats:
    try:
        offsets: Floats = np.asarray(action, np.float64)
    except (TypeError, ValueError):
        offsets = np.empty(0)
    if offsets.ndim != 1 or not len(offsets):
        raise ValueError(f"the action is {action!r}; it must be three numbers from -1 to 1")
    return offsets


def _whole(name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise UsageError(f"options: {name} is {value!r}; it must be a whole number") from None


def _read(fit: PoissonFit | Path | str | None) -> PoissonFit | None:
    if fit is None or isinstance(fit, PoissonFit):
        return fit
    fitted = read_fitted(Path(fit))
    if not isinstance(fitted, PoissonFit):
        raise UsageError(f"fit is {fit}, a schedule; give a poisson_fit.json")
    return fitted
