"""Digests of a backtest's design and fill assumption: a new one is another trial."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.account_limits import JOIN, AccountLimits, AccountTerms
from mm.backtest.metrics.pnl import EquitySeries, account_of, changes_60s
from mm.base.code_identity import closure, digest, hash_file
from mm.base.knobs import knobs as declared_knobs
from mm.base.own_modules import file_of, own_file
from mm.clock import now_us
from mm.play.here import identity_here, is_here
from mm.play.identity import identity, kind_of
from mm.play.models import fitted_from, read_fitted
from mm.play.names import resolve
from mm.play.play import GivenModels, Play
from mm.play.setup import PlayKnobs, users_models
from mm.trials.earlier_fills import EarlierFills, earlier_fills
from mm.trials.ledger import Spans, Trial, TrialLine, market_of, split_by_day
from mm.trials.on_record import Recording

if TYPE_CHECKING:
    from mm.backtest.account_result import AccountResult
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
# Terms of the account, not of the quotes: another fee, or other balances, are no other design.
_OF_ACCOUNT = ("maker_fee_rate", "taker_fee_rate", "initial_cash", "initial_inventory", "preset", "state_interval_ms")
_FEES = ("maker_fee_e8", "taker_fee_e8", "maker_unit_fee_e8", "taker_unit_fee_e8", "start_cash_e8", "start_lots")
# counted by their content; draws play no other quotes
_CONTENT = ("latency_file", "brackets_file", "fill_params_file", "fit_draws")


@dataclass(frozen=True)
class Design:
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
        models, known, read = knobs.models, hashes or {}, sources or sources_of
        quotes, fills = (given.quotes, given.fills) if given else (None, None)
        values = {
            knob.name: value
            for group in _GROUPS
            for knob in declared_knobs(type(getattr(knobs, group)))
            if knob.matters and knob.name not in (*_OF_FILLS, *_CONTENT)
            for value in [getattr(getattr(knobs, group), knob.name)]
        }
        margin = {} if knobs.margin is None else vars(knobs.margin)
        account = {name: value for name, value in margin.items() if value is not None and name not in _CONTENT}
        account |= {name: values.pop(name) for name in _OF_ACCOUNT}
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
            read(names) if model is None else identity(model)
            for names, model in zip(named, (quotes, fills), strict=True)
        )
        filling = [models.fill_model, models.fill_params(), other, account]
        return cls(
            digest([values, files, fit, own])[:_LETTERS],
            digest(filling)[:_LETTERS],
            models.quote_model if quotes is None else kind_of(quotes).__name__,
            models.fill_model if fills is None else kind_of(fills).__name__,
        )

    @classmethod
    def of_play(cls, play: Play) -> "Design":
        """Call it before playing: objects count in their present state."""
        quotes, fills = (None if isinstance(model, str) else model for model in play.given[:2])
        return cls.of(play.knobs, play.models.fitted, GivenModels(quotes, fills))

    @classmethod
    def of_objects(cls, rules: "Rules", fitted: "Fitted", quotes: object, fills: object) -> "Design":
        """Call it before playing: objects count in their present state."""
        account = {name: getattr(rules, name) for name in _FEES}
        none: dict[str, Any] = dict.fromkeys(_FEES, 0)
        quoting = identity(replace(rules, **none))
        return cls(
            digest([quoting, fitted.to_json(), identity(quotes)])[:_LETTERS],
            digest([identity(fills), account])[:_LETTERS],
            kind_of(quotes).__name__,
            kind_of(fills).__name__,
        )

    def trials(self, days: "Sequence[PlayedDay]", spans: Spans, pnl: "Floats", made_by: str) -> list[Trial]:
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
    symbol: str
    day: str
    start_us: int
    market: str

    @classmethod
    def of(cls, tape: "Tape") -> "PlayedDay":
        return cls(tape.symbol, tape.days[0], tape.start_us, market_of(tape.meta.inputs)[:_LETTERS])


class Designs:
    def __init__(self, hashes: Mapping[Path, str]) -> None:
        self.hashes = hashes
        self._sources = cache(sources_of)
        self._fits: dict[int | Path, Fitted] = {}

    def design(self, setup: PlayKnobs, fitted: Mapping[str, Any] | None) -> Design:
        """A setup that names its own design keeps it."""
        path = setup.models.fill_params_file
        key = path if fitted is None else id(fitted)
        if key is not None and key not in self._fits:
            self._fits[key] = read_fitted(Path(str(path))) if fitted is None else fitted_from(dict(fitted), "the fit")
        fit = None if key is None else self._fits[key]
        return Design.of(setup, fit, hashes=self.hashes, sources=self._sources)


def recorded(result: "Result", design: Design, recording: Recording) -> "Result":
    """Record a backtest's trials; return it with the trials on its days, for which its verdict allows."""
    days = [PlayedDay.of(tape) for tape in result.tapes]
    recording.add(design.trials(days, *minutes_of(result), recording.made_by))
    earlier: tuple[EarlierFills, ...] = ()
    if result.terms.fit is not None and days:
        first = min(day.day for day in days)
        same = design.quoting, design.assumption
        earlier = earlier_fills(recording.ledger, days[0].symbol, first, same)
    return replace(result, terms=replace(result.terms, trials=recording.on_record(), earlier=earlier))


def recorded_account(
    result: "AccountResult",
    designs: Mapping[str, Design],
    limits: object,
    recording: Callable[[], Recording],
) -> "AccountResult":
    """Record backtests of an account and of each symbol; each verdict allows for the trials on its own days."""
    results = {symbol: recorded(one, designs[symbol], recording()) for symbol, one in result.results.items()}
    result = replace(result, results=results)
    if result.series is None:
        return result
    own = recording()
    days = days_of_account({symbol: list(map(PlayedDay.of, one.tapes)) for symbol, one in results.items()})
    spans, pnl = periods_of(result.series)
    own.add(account_design(designs, limits).trials(days, spans, pnl, own.made_by))
    return replace(result, trials=own.on_record())


def account_design(designs: Mapping[str, Design], limits: object) -> Design:
    """The symbols' designs in the order in which they play, and the limits."""
    each = designs.values()
    return Design(
        digest([[symbol, one.quoting] for symbol, one in designs.items()] + [_limits(limits)])[:_LETTERS],
        digest([one.assumption for one in each])[:_LETTERS],
        *(", ".join(dict.fromkeys(getattr(one, name) for one in each)) for name in ("quotes", "fills")),
    )


def _limits(limits: object) -> str:
    """What decides the orders: neither the numeraire nor balances."""
    if isinstance(limits, AccountTerms):
        limits = AccountLimits(**{name: getattr(limits, name) for name in AccountLimits.__dataclass_fields__})
    return repr(limits)


def days_of_account(days_by_symbol: "Mapping[str, Sequence[PlayedDay]]") -> list["PlayedDay"]:
    """The days of all symbols, as days of one market named after them all."""
    played: dict[str, list[PlayedDay]] = {}
    for day in [day for each in days_by_symbol.values() for day in each]:
        played.setdefault(day.day, []).append(day)
    return [
        PlayedDay(
            JOIN.join(days_by_symbol),
            name,
            min(day.start_us for day in days),
            digest(sorted([day.symbol, day.market] for day in days))[:_LETTERS],
        )
        for name, days in sorted(played.items())
    ]


def minutes_of(result: "Result", account: EquitySeries | None = None) -> "tuple[Spans, Floats]":
    """Spans, and the quoting PnL per 60 s, of all legs if they have a sum."""
    return periods_of((result.series if result.legs else None) or account or account_of(result.journal, result.terms))


def periods_of(series: EquitySeries) -> "tuple[Spans, Floats]":
    counts = series.spans.period_counts.tolist()
    return tuple(zip(series.spans.begin_us.tolist(), counts, strict=True)), changes_60s(series)


def sources_of(names: tuple[str, ...]) -> Mapping[str, str]:
    """The sha256 of each module of a user's classes and signals, and of his modules that these import."""
    named = [*names]
    for name in names:
        declared = getattr(resolve({}, name, "model"), "signals", None)
        named += users_models(declared) if isinstance(declared, tuple | list) else []
    if not named:
        return {}
    here = {name: digest(identity_here(name)) for name in names if is_here(name)}
    given = [name.partition(":")[0] for name in named if name not in here]
    own, _ = closure(given, own_file)
    paths = {name: path for name, (path,) in own.items()} | {name: file_of(name) for name in given}
    return {name: hash_file(path) for name, path in sorted(paths.items()) if path is not None} | here
