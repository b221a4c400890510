"""What makes a backtest another trial: the digest of its design, and that of its fill assumption.

A design is all that decides the quotes: models and parameters, rules, limits, the fit, the files and the user's sources
behind them. It does not depend on the door through which it is played, nor on the place of the data.
"""

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mm.backtest.metrics.pnl import EquitySeries, account_of, changes_60s
from mm.base.code_identity import closure, digest, hash_file
from mm.base.knobs import knobs as declared_knobs
from mm.base.own_modules import file_of, own_file
from mm.base.user_code import USER_ERRORS
from mm.clock import now_us
from mm.play.models import fitted_from, read_fitted
from mm.play.names import resolve
from mm.play.play import GivenModels, Play
from mm.play.setup import PlayKnobs, users_models
from mm.trials.ledger import Spans, Trial, TrialLine, market_of, split_by_day
from mm.trials.on_record import Recording

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.backtest.rules import Rules
    from mm.base.arrays import Floats
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule
    from mm.tape.tape import Tape

    Fitted = PoissonFit | Schedule

Sources = Callable[[tuple[str, ...]], Mapping[str, str]]
_LETTERS = 24  # of a digest: 96 bits
_GROUPS = ("market", "execution", "account", "models", "risk", "others")
_OF_FILLS = ("fill_model", "fill_params_json")
_CONTENT = ("latency_file", "fill_params_file", "fit_draws")  # counted by their content; draws play no other quotes


@dataclass(frozen=True)
class Design:
    """A design under a fill assumption.

    Attributes:
        quoting: Digest of all that decides the quotes.
        assumption: Digest of the fill model and its parameters.
    """

    quoting: str
    assumption: str
    quotes: str
    fills: str

    @classmethod
    def of(
        cls,
        knobs: PlayKnobs,
        fitted: "Fitted | None",
        given: "GivenModels | None" = None,
        hashes: Mapping[Path, str] | None = None,
        sources: "Sources | None" = None,
    ) -> "Design":
        """Return the design of a strategy's *knobs*.

        Args:
            knobs: The knobs.
            fitted: The fit or schedule in effect; None without one.
            given: Models in place of those of the knobs.
            hashes: sha256 of the files that the knobs name, where they are known.
            sources: Returns the sha256 of the modules of a user's classes; None is `sources_of`.
        """
        models, known, read = knobs.models, hashes or {}, sources or sources_of
        quotes, fills = (given.quotes, given.fills) if given else (None, None)
        values = {
            knob.name: value
            for group in _GROUPS
            for knob in declared_knobs(type(getattr(knobs, group)))
            if knob.matters and knob.name not in (*_OF_FILLS, *_CONTENT)
            for value in [getattr(getattr(knobs, group), knob.name)]
        }
        files = sorted(known.get(path) or hash_file(path) for path in knobs.files if path != models.fill_params_file)
        fit = None if fitted is None else digest(fitted.to_json())
        named = (
            tuple(users_models(model, params))
            for model, params in (
                (models.quote_model, models.quote_params()),
                (models.fill_model, models.fill_params()),
            )
        )
        own, other = (
            read(names) if model is None else _identity(model)
            for names, model in zip(named, (quotes, fills), strict=True)
        )
        filling = [models.fill_model, models.fill_params(), other]
        return cls(
            digest([values, files, fit, own])[:_LETTERS],
            digest(filling)[:_LETTERS],
            models.quote_model if quotes is None else _kind(quotes).__name__,
            models.fill_model if fills is None else _kind(fills).__name__,
        )

    @classmethod
    def of_play(cls, play: Play) -> "Design":
        """Return the design of a backtest; objects are as they are now, so before it is played."""
        quotes, fills = (None if isinstance(model, str) else model for model in play.given[:2])
        return cls.of(play.knobs, play.models.fitted, GivenModels(quotes, fills))

    @classmethod
    def of_objects(cls, rules: "Rules", fitted: "Fitted", quotes: object, fills: object) -> "Design":
        """Return the design of models played by *rules*; objects are as they are now, so before they are played."""
        return cls(
            digest([_identity(rules), fitted.to_json(), _identity(quotes)])[:_LETTERS],
            digest(_identity(fills))[:_LETTERS],
            _kind(quotes).__name__,
            _kind(fills).__name__,
        )

    def trials(self, days: "Sequence[PlayedDay]", spans: Spans, pnl: "Floats", made_by: str) -> list[Trial]:
        """Return the trials of a backtest, one for each of its days.

        Args:
            days: The days, in order.
            spans: Begin and number of periods of each stretch with a market.
            pnl: PnL of each period.
            made_by: The command.
        """
        parts = split_by_day(spans, pnl, {day.day: day.start_us for day in days})
        at_us, names = now_us(), tuple(day.day for day in days)
        return [
            Trial(
                day.symbol,
                day.day,
                TrialLine(
                    at_us=at_us,
                    design=self.quoting,
                    assumption=self.assumption,
                    market=day.market,
                    quotes=self.quotes,
                    fills=self.fills,
                    days=names,
                    made_by=made_by,
                    spans=parts[day.day][0],
                    begin=0,
                ),
                parts[day.day][1],
            )
            for day in days
        ]


@dataclass(frozen=True)
class PlayedDay:
    """A day as the ledger of trials knows it.

    Attributes:
        market: What tells its recorded market, as `market_of`.
    """

    symbol: str
    day: str
    start_us: int
    market: str

    @classmethod
    def of(cls, tape: "Tape") -> "PlayedDay":
        """Return the day of a tape."""
        return cls(tape.symbol, tape.days[0], tape.start_us, market_of(tape.meta.inputs)[:_LETTERS])


class Designs:
    """The designs of many setups, whose fits and sources are read once.

    Attributes:
        hashes: sha256 of the files that knobs name, by path.
    """

    def __init__(self, hashes: Mapping[Path, str]) -> None:
        self.hashes = hashes
        self._sources = cache(sources_of)
        self._fits: dict[int | Path, Fitted] = {}

    def of(self, setup: PlayKnobs, fitted: Mapping[str, Any] | None) -> Design:
        """Return the design of a *setup* with a fit or schedule as JSON, or that which it names itself."""
        path = setup.models.fill_params_file
        key = path if fitted is None else id(fitted)
        if key is not None and key not in self._fits:
            self._fits[key] = read_fitted(Path(str(path))) if fitted is None else fitted_from(dict(fitted), "the fit")
        fit = None if key is None else self._fits[key]
        return Design.of(setup, fit, hashes=self.hashes, sources=self._sources)


def recorded(result: "Result", design: Design, recording: Recording) -> "Result":
    """Put a backtest on record, and return it with the trials of its days, for which its verdict allows."""
    days = [PlayedDay.of(tape) for tape in result.tapes]
    recording.add(design.trials(days, *minutes_of(result), recording.made_by))
    return replace(result, terms=replace(result.terms, trials=recording.on_record()))


def minutes_of(result: "Result", account: EquitySeries | None = None) -> "tuple[Spans, Floats]":
    """Return the spans of a backtest and the quoting PnL of each 60 s, of all legs if their sum is known.

    *account* is the own market's, if it is there already.
    """
    series = (result.series if result.legs else None) or account or account_of(result.journal, result.terms)
    counts = series.spans.period_counts.tolist()
    return tuple(zip(series.spans.begin_us.tolist(), counts, strict=True)), changes_60s(series)


def sources_of(names: tuple[str, ...]) -> Mapping[str, str]:
    """Return the sha256 of the modules of a user's classes, of their signals, and of all that these import of his."""
    named = [*names]
    for name in names:
        declared = getattr(resolve({}, name, "model"), "signals", None)
        named += users_models(declared) if isinstance(declared, tuple | list) else []
    if not named:
        return {}
    given = [name.partition(":")[0] for name in named]
    own, _ = closure(given, own_file)
    paths = {name: path for name, (path,) in own.items()} | {name: file_of(name) for name in given}
    return {name: hash_file(path) for name, path in sorted(paths.items()) if path is not None}


def _kind(model: object) -> type:
    """Return the class of an object, or of what a factory makes."""
    made = model.args[0] if isinstance(model, partial) else model
    return made if isinstance(made, type) else type(made)


def _identity(model: object) -> Any:
    """Return what tells a model that was given as an object from others: its class, the source of it, and its state."""
    kind = _kind(model)
    state: Any = model.args[1] if isinstance(model, partial) and len(model.args) > 1 else None
    if not isinstance(model, partial | type):
        try:
            state = pickle.dumps(model, protocol=4).hex()
        except USER_ERRORS:  # what cannot be told apart is another trial each time
            state = uuid4().hex
    sources = [_source(base) for base in kind.__mro__ if not base.__module__.startswith(("mm.", "builtins"))]
    return [kind.__module__, kind.__qualname__, sources, repr(state)]


def _source(kind: type) -> str:
    """Return the source of a class; of one that was typed at a prompt the code of its methods."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        codes = [getattr(value, "__code__", None) for value in vars(kind).values()]
        return repr([(code.co_code, code.co_consts, code.co_names) for code in codes if code is not None])
