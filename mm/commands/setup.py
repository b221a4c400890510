"""The knobs of one backtest: as a command, and as JSON for another process."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from mm.backtest.risk import NO_RISK, Risk
from mm.backtest.rules import Account, Execution
from mm.base.knobs import FIT, PATH, Knob, knobs, shown
from mm.base.user_code import NAME
from mm.cli.unused_knobs import unused_knobs
from mm.commands.assemble import artefacts, moved, moved_models
from mm.models.builder import agent_files
from mm.play.knobs import NO_OTHERS, Day, Market, Models, OtherMarkets
from mm.predict.artefact import predictor_files
from mm.runs.find import Found
from mm.runs.trusted import InputPlaces, Playable, playable

GROUPS: tuple[type, ...] = (Day, Market, Execution, Account, Models, Risk, OtherMarkets)
_PLACES = ("data_root", "out_root")
_OWN = ("out_dir",)  # belongs to the command that runs many backtests
_CONTENT = ("latency_file", "day")  # identified by their content


def users_models(*values: object) -> list[str]:
    """Return each ``package.module:Class`` in *values*: names of models, and JSON parameters."""
    found: list[str] = []
    for value in values:
        if isinstance(value, str) and NAME.fullmatch(value):
            found.append(value)
        elif isinstance(value, Mapping | list | tuple):
            found += users_models(*(value.values() if isinstance(value, Mapping) else value))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Setup:
    """The knobs of one backtest, by group."""

    day: Day
    market: Market
    execution: Execution
    account: Account
    models: Models
    risk: Risk = NO_RISK
    others: OtherMarkets = NO_OTHERS

    def command(self, named: Collection[str] | None, *, places: bool, fit: Path | None = None) -> list[str]:
        """Return the words of the command for this backtest, for any shell.

        Args:
            named: Variables of knobs to include even if they have their default; None for all.
            places: Whether to include the folders of data and results.
            fit: The fit for a setup without fill parameters; None without one.
        """
        words = ["mm", "backtest"]
        unused = {name for name, _ in unused_knobs("backtest", {one.name: value for one, value in self._knobs()})}
        for one, value in self._knobs():
            if one.name in unused or one.name in _OWN or (one.name in _PLACES and not places):
                continue
            if value is not None and (value != one.default or named is None or one.variable in named):
                words += [one.flag, shown(value)]
        return words if fit is None or self.fitted else [*words, "--fill-params-file", str(fit)]

    @property
    def fitted(self) -> bool:
        """Whether it has its own fill parameters."""
        return self.models.fill_params_file is not None or self.models.fill_params_json is not None

    def work(self) -> dict[str, Any]:
        """Return the knobs on which the result depends, except file names, whose content counts instead."""
        return {one.name: value for one, value in self._knobs() if one.matters and one.name not in _CONTENT}

    @cached_property
    def files(self) -> list[Path]:
        """The files on which the result depends, except those of the day."""
        named = [self.execution.latency_file, self.models.fill_params_file, *agent_files(self.models)]
        legs = [one.get("orders") or {} for one in self.others.declared().values()]
        named += [Path(leg["latency_file"]) for leg in legs if "latency_file" in leg]
        named += predictor_files(self.models.quote_params(), self.models.fill_params())
        params = [self.models.quote_params(), self.models.fill_params()]
        named += [path for path in map(Path, artefacts(params)) if path.is_file()]
        return [path for path in dict.fromkeys(named) if path is not None]

    def to_json(self) -> dict[str, Any]:
        """Return the setup as JSON values; paths become absolute."""
        found: dict[str, Any] = {}
        for group in fields(self):
            values = vars(getattr(self, group.name))
            found[group.name] = {
                name: str(value.absolute()) if isinstance(value, Path) else value for name, value in values.items()
            }
        return found

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the setup from the *content* of :meth:`to_json`."""
        return cls(*(_group(kind, **content[one.name]) for kind, one in zip(GROUPS, fields(cls), strict=True)))

    @classmethod
    def of_manifest(
        cls, run: Found, places: InputPlaces, trusted: Sequence[Path] = (), *, days: bool = True
    ) -> "tuple[Self, Playable]":
        """Return the setup of a finished run, which is only played if its code and files are trusted (`playable`).

        Args:
            run: The run; a knob added since then has its default.
            places: Where its inputs are searched; its days are read there.
            trusted: The files of code that the user trusts. The modules that the run kept are imported.
            days: Whether its days must be unchanged.

        Raises:
            SafetyError: If its manifest names code that is not trusted, or a file that is no input of the run.
            DataError: If an input is missing or changed.
            ModelError: If the import of a trusted module raises.
        """
        names = {one.name for kind in GROUPS for one in knobs(kind)}
        known = playable(run, places, trusted, names, days=days)
        known.import_source()
        roots = {"data_root": places.data_root, "out_root": places.out_root, "out_dir": None}
        if run.knob("day") is None:  # of a live run, which records the current day
            roots["day"] = run.manifest["day"]
        found = cls(*(known.group(kind, **(roots if kind is Day else {})) for kind in GROUPS))
        others = found.others.others and json.dumps(moved(json.loads(found.others.others), known.artefacts))
        models = moved_models(found.models, known.artefacts)
        return replace(found, models=models, others=OtherMarkets(others=others)), known

    def _knobs(self) -> list[tuple[Knob, Any]]:
        groups = [getattr(self, group.name) for group in fields(self)]
        return [(one, getattr(group, one.name)) for group in groups for one in knobs(type(group))]


@lru_cache(maxsize=64, typed=True)
def _group(kind: type, /, **content: Any) -> Any:
    """Return a group of knobs; the points of a sweep share most of theirs."""
    paths = {one.name for one in knobs(kind) if one.reader in (PATH, FIT)}
    return kind(**{name: Path(value) if name in paths and value else value for name, value in content.items()})
