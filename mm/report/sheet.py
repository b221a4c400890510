"""Several runs on one page: what they have in common, and the cards of backtests and of evaluations alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Generic, TypeVar

from mm.backtest.metrics.notes import NULL
from mm.base.numbers import number, signed
from mm.instrument import assets_of
from mm.report import figures
from mm.report.figures import SERIES, Figure, Trace
from mm.report.frame import card, grid, nothing

MOST_RUNS = len(SERIES)
NO_MATTER = ("run_id", "out_dir", "out_root", "log_root", "log_level", "data_root")
FILLS = ("fill_model", "fill_params_json", "fill_per_side")  # knobs that are fill assumptions


@dataclass(frozen=True, eq=False)
class SheetRun:
    """A run on a page of several.

    Attributes:
        name: Its name on the page, as no other has it.
        manifest: Its manifest.
        summary: Its numbers: ``summary.json`` or ``evaluation.json``.
        tags: What it was tagged with.
        note: The note on it; empty without one.
        link: Path of its own page, relative to the page; None without one.
    """

    name: str
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    tags: Sequence[str] = ()
    note: str = ""
    link: str | None = None

    @property
    def quote(self) -> str:
        """Its quote asset; empty if unknown."""
        return str(self.summary["quote_asset"] or assets_of(self.manifest["symbol"])[1] or "")

    def knob(self, name: str) -> Any:
        """Return the value of a knob; None if the run's command has no such knob."""
        return self.manifest["knobs"].get(name, {}).get("value")


SomeRun = TypeVar("SomeRun", bound=SheetRun)


@dataclass(frozen=True)
class Sheet(Generic[SomeRun]):
    """Several runs, at least two, and what they have in common.

    Attributes:
        runs: The runs; the first is the one that others are compared with.
    """

    runs: Sequence[SomeRun]

    def numbers(self) -> dict[str, list[float | None]]:
        """Return the numbers of all runs by name; those that no run has are omitted."""
        raise NotImplementedError

    def difference(self, run: SomeRun) -> dict[str, Any] | None:
        """Return the PnL of a run less that of the first one, with its 95 % interval; None if it has none."""
        raise NotImplementedError

    def unequal(self) -> list[str]:
        """Return what makes the numbers hard to compare: assets, data, fill assumptions, versions."""
        lines = []
        if not self.one_asset:
            lines.append(f"PnL in different assets ({self.each(lambda run: run.quote)}): it has no difference")
        if changed := self._changed_inputs():
            lines.append(f"not the same data: {', '.join(changed)} had different contents when the runs read them")
        if fills := [name for name in self.knobs() if name in FILLS]:
            lines.append(
                f"different fill assumptions ({', '.join(fills)}): a part of the difference is assumed, not earned; "
                f"compare designs under one assumption, and read the worst case"
            )
        if len({(run.manifest["version"], run.manifest.get("commit")) for run in self.runs}) > 1:
            lines.append("played by different versions of mm: " + self.each(_version))
        return lines

    @property
    def one_asset(self) -> bool:
        """Whether the PnL of all runs is in one asset, so that it has a difference."""
        return len({run.quote for run in self.runs}) == 1

    def knobs(self) -> dict[str, list[Any]]:
        """Return the knobs that differ and can have an effect, with their value in each run."""
        names = dict.fromkeys(name for run in self.runs for name in run.manifest["knobs"])
        found = {name: [run.knob(name) for run in self.runs] for name in names if name not in NO_MATTER}
        return {name: values for name, values in found.items() if any(one != values[0] for one in values)}

    def warnings(self) -> list[str]:
        """Return what makes the numbers hard to compare, and then the warnings of the runs themselves."""
        by_line: dict[str, list[str]] = {}
        for run in self.runs:
            for line in run.summary["warnings"]:
                if not line.startswith(NULL):
                    by_line.setdefault(line, []).append(run.name)
        own = (
            f"{'all runs' if len(names) == len(self.runs) else ', '.join(names)}: {line}"
            for line, names in by_line.items()
        )
        return [*self.unequal(), *own]

    def each(self, text: Callable[[SomeRun], str], runs: Sequence[SomeRun] | None = None) -> str:
        """Return a text of each run, after its name."""
        return ", ".join(f"{run.name}: {text(run)}" for run in runs or self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the sheet as JSON values."""
        return {
            "runs": [_about(run) | {"difference": self.difference(run)} for run in self.runs],
            "numbers": self.numbers(),
            "knobs": self.knobs(),
            "warnings": self.warnings(),
        }

    def _changed_inputs(self) -> list[str]:
        seen: dict[str, str] = {}
        for run in self.runs:
            seen |= {one["path"]: one["sha256"] for one in run.manifest["inputs"] if one["path"] not in seen}
        entries = [one for run in self.runs for one in run.manifest["inputs"]]
        return sorted({one["path"] for one in entries if seen[one["path"]] != one["sha256"]})


def _about(run: SheetRun) -> dict[str, Any]:
    names = ("run_id", "kind", "symbol", "day", "version", "commit")
    about = {name: run.manifest.get(name) for name in names}
    return {"name": run.name, **about, **_models(run), "tags": list(run.tags), "note": run.note}


def _models(run: SheetRun) -> dict[str, Any]:
    return {name: run.knob(name) for name in ("quote_model", "fill_model")}


def _version(run: SheetRun) -> str:
    commit, _, changed = str(run.manifest.get("commit") or "").partition("+")
    return " ".join(filter(None, (run.manifest["version"], commit[:10], changed)))


def named(run: SheetRun, colour: str) -> str:
    """Return the name of a run with the colour of its lines, its models, tags and note."""
    name = escape(run.name) if run.link is None else f'<a href="{escape(run.link)}">{escape(run.name)}</a>'
    models = [str(value or "–") for value in _models(run).values()]
    lines = [f"{run.manifest['kind']} of {run.manifest['symbol']}", f"{models[0]} quotes", f"{models[1]} fills"]
    lines += [" ".join([*(f"#{tag}" for tag in run.tags), run.note])] if run.tags or run.note else []
    return f'<i class="key" style="background:{colour}"></i>{name}{"".join(map(line_below, lines))}'


def line_below(text: str) -> str:
    """Return a *text* that has a line of its own in a cell."""
    return f'<small class="line">{escape(text)}</small>'


def difference_text(found: Mapping[str, Any] | None) -> str:
    """Return a `TearSheet.difference` in words: the PnL and its interval, or why it has none."""
    if found is None:
        return "–"
    known = found["lower95"] is not None
    ends = f"{signed(found['lower95'], 3)} to {signed(found['upper95'], 3)}" if known else found["text"]
    return f"{signed(found['pnl'])} ({ends})"


def beside(traces: Sequence[Trace], x: Mapping[str, Any], height: int = 250) -> Figure:
    """Return bars of several runs side by side, with the names of the runs."""
    figure = figures.chart(traces, x, height)
    figure["layout"]["barmode"] = "group"
    return figure


def numbers_card(sheet: Sheet[SomeRun]) -> str:
    """Return the table of all numbers, each with its difference to that of the first run."""
    rows = []
    for name, values in sheet.numbers().items():
        cells = [number(values[0], 6)]
        for value in values[1:]:
            apart = 0.0 if value is None or values[0] is None else value - values[0]
            cells.append(number(value, 6) + (f" <small>{signed(apart, 3)}</small>" if apart else ""))
        rows.append((f"<code>{name}</code>", *cells))
    hint = "Of each whole run, with the difference to the first; names are those of its JSON file, rates from them."
    return card("Numbers", hint, grid(("number", *(run.name for run in sheet.runs)), rows))


def knobs_card(sheet: Sheet[SomeRun]) -> str:
    """Return the table of the knobs that differ."""
    rows = [(f"<code>{escape(name)}</code>", *map(_value, values)) for name, values in sheet.knobs().items()]
    head = ("knob", *(run.name for run in sheet.runs))
    body = grid(head, rows) if rows else nothing("No knob with an effect differs.")
    return card("Knobs that differ", "Without those that only name or locate a run.", body)


def _value(value: Any) -> str:
    return "–" if value is None else escape(str(value))
