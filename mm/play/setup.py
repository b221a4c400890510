"""The knobs of one backtest: as a command, and as JSON for another process."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import NO_RISK, Risk
from mm.backtest.rules import Account, Execution
from mm.base.knobs import FIT, PATH, Knob, knobs, shown
from mm.base.user_code import NAME
from mm.play.artefacts import artefacts
from mm.play.knobs import NO_OTHERS, NOT_AGAIN, Day, Market, Models, OtherMarkets, TradeAgain
from mm.play.models import agent_files
from mm.play.unused_knobs import unused_knobs
from mm.signals.artefact import predictor_files

GROUPS_BY_NAME: Mapping[str, type] = {
    "day": Day,
    "market": Market,
    "execution": Execution,
    "account": Account,
    "margin": Margin,
    "models": Models,
    "risk": Risk,
    "others": OtherMarkets,
    "again": TradeAgain,
}
GROUPS: tuple[type, ...] = tuple(GROUPS_BY_NAME.values())
_PLACES = ("data_root", "out_root", "open_held_out")  # what no play depends on
_OWN = ("out_dir",)  # belongs to the command that runs many backtests
_CONTENT = ("latency_file", "brackets_file", "day")  # identified by their content


def users_models(*values: object) -> list[str]:
    """Each ``package.module:Class`` in names of models and JSON parameters."""
    names: list[str] = []
    for value in values:
        if isinstance(value, str) and NAME.fullmatch(value):
            names.append(value)
        elif isinstance(value, Mapping | list | tuple):
            names += users_models(*(value.values() if isinstance(value, Mapping) else value))
    return list(dict.fromkeys(names))


@dataclass(frozen=True, kw_only=True)
class PlayKnobs:
    """The knobs of a strategy, by group, on whatever days it is played."""

    market: Market = field(default_factory=Market)
    execution: Execution
    account: Account
    models: Models
    risk: Risk = NO_RISK
    others: OtherMarkets = NO_OTHERS
    margin: Margin | None = None

    @cached_property
    def files(self) -> list[Path]:
        named = [self.execution.latency_file, self.models.fill_params_file, *agent_files(self.models)]
        named += [] if self.margin is None else [self.margin.brackets_file]
        legs = [market.get("orders") or {} for market in self.others.declared().values()]
        named += [Path(leg["latency_file"]) for leg in legs if "latency_file" in leg]
        named += predictor_files(self.models.quote_params(), self.models.fill_params())
        params = [self.models.quote_params(), self.models.fill_params()]
        named += [path for path in map(Path, artefacts(params)) if path.is_file()]
        return [path for path in dict.fromkeys(named) if path is not None]


@dataclass(frozen=True, kw_only=True)
class Setup(PlayKnobs):
    day: Day
    margin: Margin = field(default_factory=Margin)
    again: TradeAgain = NOT_AGAIN

    @classmethod
    def of(cls, *groups: object) -> Self:
        named: dict[str, Any] = {
            name: each for name, kind in GROUPS_BY_NAME.items() for each in groups if isinstance(each, kind)
        }
        return cls(**named)

    def command(self, named: Collection[str] | None, *, places: bool, fit: Path | None = None) -> list[str]:
        words = ["mm", "backtest", *_flags(self.used(), named, places=places)]
        return words if fit is None or self.fitted else [*words, "--fill-params-file", str(fit)]

    def used(self) -> list[tuple[Knob, Any]]:
        unused = {name for name, _ in unused_knobs("backtest", {knob.name: value for knob, value in self._knobs()})}
        return [(knob, value) for knob, value in self._knobs() if knob.name not in unused]

    @property
    def fitted(self) -> bool:
        return self.models.fill_params_file is not None or self.models.fill_params_json is not None

    @property
    def seed(self) -> int:
        return self.account.seed

    def work(self) -> dict[str, Any]:
        own = {knob.name for knob in knobs(Margin)}
        return {
            knob.name: value
            for knob, value in self._knobs()
            if knob.matters and knob.name not in _CONTENT and not (value is None and knob.name in own)
        }

    def to_json(self) -> dict[str, Any]:
        groups: dict[str, Any] = {}
        for group, kind in GROUPS_BY_NAME.items():
            values = {knob.name: getattr(getattr(self, group), knob.name) for knob in knobs(kind)}
            groups[group] = {
                name: str(value.absolute()) if isinstance(value, Path) else value for name, value in values.items()
            }
        return groups

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        return cls(**{name: _group(kind, **content.get(name, {})) for name, kind in GROUPS_BY_NAME.items()})

    def _knobs(self) -> list[tuple[Knob, Any]]:
        groups = [getattr(self, group) for group in GROUPS_BY_NAME]
        return [(knob, getattr(group, knob.name)) for group in groups for knob in knobs(type(group))]


@dataclass(frozen=True, kw_only=True)
class AccountSetup:
    """The knobs of one backtest of several symbols on one account.

    Attributes:
        day: All its days and symbols; a symbol's own setup has its existing days.
    """

    day: Day
    setups: Mapping[str, Setup]
    limits: AccountTerms

    @property
    def seed(self) -> int:
        return next(iter(self.setups.values())).seed

    def command(self, named: Collection[str] | None, *, places: bool) -> list[str]:
        used = {symbol: {knob.name: value for knob, value in one.used()} for symbol, one in self.setups.items()}
        common = [(knob, getattr(self.day, knob.name)) for knob in knobs(type(self.day))]
        own: dict[str, dict[str, str]] = {}
        for knob in [knob for kind in GROUPS if kind is not Day for knob in knobs(kind)]:
            values = {symbol: of_symbol[knob.name] for symbol, of_symbol in used.items() if knob.name in of_symbol}
            if len(values) == len(used) and len(set(values.values())) == 1:
                common.append((knob, next(iter(values.values()))))
                continue
            for symbol, value in values.items():
                if value is not None and value != knob.default:
                    own.setdefault(symbol, {})[knob.variable] = shown(value)
        common += [(knob, getattr(self.limits, knob.name)) for knob in knobs(type(self.limits))]
        words = ["mm", "backtest", "--one-account", "1", *_flags(common, named, places=places)]
        return [*words, "--per-symbol", json.dumps(own)] if own else words


AnySetup = Setup | AccountSetup


def _flags(values: Iterable[tuple[Knob, Any]], named: Collection[str] | None, *, places: bool) -> list[str]:
    words = list[str]()
    for knob, value in values:
        if knob.name in _OWN or (knob.name in _PLACES and not places):
            continue
        if value is not None and (value != knob.default or named is None or knob.variable in named):
            words += [knob.flag, shown(value)]
    return words


@lru_cache(maxsize=64, typed=True)
def _group(kind: type, /, **content: Any) -> Any:
    paths = {knob.name for knob in knobs(kind) if knob.reader in (PATH, FIT)}
    return kind(**{name: Path(value) if name in paths and value else value for name, value in content.items()})
