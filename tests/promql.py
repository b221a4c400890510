"""Alert rules evaluated without Prometheus: the operators of PromQL that the deployed alerts use, as its manual says.

`Alerts` evaluates a rule file over scraped pages, `unit_test` plays a test of promtool's format.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Series = dict[Labels, list[tuple[float, float]]]
STALE_S = 300.0
"""A sample counts for so long, unless its series has ended."""
_WORDS = re.compile(
    r"""\s*("(?:\\.|[^"])*"|'(?:\\.|[^'])*'|\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![smhd\w])|\d+[smhd]|[A-Za-z_:][\w:]*"""
    r"""|=~|!~|==|!=|>=|<=|[-+*/(){}\[\],=<>])"""
)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
_SUMMED: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else math.nan,
}
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset(("or",)),
    frozenset(("and", "unless")),
    frozenset(_COMPARED),
    frozenset("+-"),
    frozenset("*/"),
)
"""Binary operators, from the one that binds least."""


def labels_of(**labels: str) -> Labels:
    return frozenset(labels.items())


def seconds_of(text: str) -> float:
    """Read `1m30s`."""
    return float(sum(int(count) * _UNITS_S[unit] for count, unit in re.findall(r"(\d+)([smhd])", text)))


@dataclass
class Samples:
    """What was scraped: each series' instants in s and values; NaN where a series ends."""

    series: Series = field(default_factory=dict)

    def add(self, at_s: float, labels: Labels, value: float) -> None:
        self.series.setdefault(labels, []).append((at_s, value))

    def scrape(self, at_s: float, page: str, **target: str) -> None:
        """Take a page, with the labels of its target; its series that are missing now have ended."""
        now = page_of(page, **target)
        for labels, value in now.items():
            self.add(at_s, labels, value)
        for labels, points in self.series.items():
            if set(target.items()) <= labels and labels not in now and not math.isnan(points[-1][1]):
                points.append((at_s, math.nan))

    def between(self, labels: Labels, after_s: float, until_s: float) -> list[tuple[float, float]]:
        points = self.series[labels]
        return points[bisect_right(points, (after_s, math.inf)) : bisect_right(points, (until_s, math.inf))]

    def at(self, labels: Labels, at_s: float) -> float | None:
        found = self.between(labels, at_s - STALE_S, at_s)
        return found[-1][1] if found and not math.isnan(found[-1][1]) else None


def page_of(page: str, **target: str) -> Vector:
    """Read a page of metrics in Prometheus' text format."""
    found: Vector = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = re.fullmatch(r"([\w:]+)(?:\{(.*)\})? (\S+)", line).groups()  # type: ignore[union-attr]
            pairs = re.findall(r'(\w+)="((?:\\.|[^"])*)"', labels or "")
            found[labels_of(**{"__name__": name, **target, **dict(pairs)})] = float(value)
    return found


class Query:
    """An expression, evaluated at an instant."""

    def __init__(self, text: str, samples: Samples, at_s: float) -> None:
        self._words, end = [], 0
        for found in _WORDS.finditer(text.strip()):
            assert found.start() == end, f"not understood: {text.strip()[end:]!r}"
            self._words.append(found[1])
            end = found.end()
        assert end == len(text.strip()), f"not understood: {text.strip()[end:]!r}"
        self._at, self._samples, self._at_s = 0, samples, float(at_s)

    def value(self) -> Vector:
        found = self._binary(0)
        assert self._at == len(self._words), self._words[self._at :]
        assert isinstance(found, dict)
        return found

    def _next(self, wanted: str = "") -> str:
        word = self._words[self._at]
        assert not wanted or word == wanted, (word, wanted)
        self._at += 1
        return word

    def _is(self, *words: str) -> bool:
        return self._at < len(self._words) and self._words[self._at] in words

    def _binary(self, level: int) -> Vector | float:
        if level == len(_LEVELS):
            return self._operand()
        left = self._binary(level + 1)
        while self._is(*_LEVELS[level]):
            operator, on = self._next(), None
            if self._is("on"):
                self._next()
                on = self._names()
            left = _combined(operator, left, self._binary(level + 1), on)
        return left

    def _names(self) -> tuple[str, ...]:
        names = []
        self._next("(")
        while not self._is(")"):
            names.append(self._next())
            if self._is(","):
                self._next()
        self._next(")")
        return tuple(names)

    def _operand(self) -> Vector | float:
        word = self._next()
        if word == "(":
            found = self._binary(0)
            self._next(")")
            return found
        if re.match(r"\d", word):
            return float(word)
        if word == "sum":
            self._next("by")
            names, summed = self._names(), dict[Labels, float]()
            for labels, value in self._inside().items():
                group = frozenset(one for one in labels if one[0] in names)
                summed[group] = summed.get(group, 0.0) + value
            return summed
        if self._is("("):
            return self._function(word)
        return {
            labels: value
            for labels in self._selected(word)
            if (value := self._samples.at(labels, self._at_s)) is not None
        }

    def _inside(self) -> Vector:
        self._next("(")
        found = self._binary(0)
        self._next(")")
        assert isinstance(found, dict)
        return found

    def _function(self, name: str) -> Vector | float:
        if name == "time":
            self._next("(")
            self._next(")")
            return self._at_s
        if name in ("increase", "rate"):
            return self._increase(per_second=name == "rate")
        if name == "max_over_time":
            windows, _ = self._windows()
            return {_unnamed(labels): max(value for _, value in points) for labels, points in windows.items()}
        self._next("(")
        if name == "histogram_quantile":
            share = float(self._next())
            self._next(",")
        found = self._binary(0)
        self._next(")")
        if name == "vector":
            assert isinstance(found, float)
            return {labels_of(): found}
        assert isinstance(found, dict)
        if name == "abs":
            return {_unnamed(labels): abs(value) for labels, value in found.items()}
        assert name == "histogram_quantile", name
        return _quantiles(share, found)

    def _selected(self, name: str) -> list[Labels]:
        matchers: list[Callable[[dict[str, str]], bool]] = [lambda labels: labels["__name__"] == name]
        if self._is("{"):
            self._next("{")
            while not self._is("}"):
                matchers.append(_matcher(self._next(), self._next(), self._next()[1:-1]))
                if self._is(","):
                    self._next()
            self._next("}")
        return [labels for labels in self._samples.series if all(matches(dict(labels)) for matches in matchers)]

    def _windows(self) -> tuple[Series, float]:
        """Read `(name{…}[1m])`; return the samples in the window of each series with some, and its begin."""
        self._next("(")
        selected = self._selected(self._next())
        self._next("[")
        window_s = seconds_of(self._next())
        self._next("]")
        self._next(")")
        begin_s = self._at_s - window_s
        windows = {labels: self._samples.between(labels, begin_s, self._at_s) for labels in selected}
        whole = {labels: [one for one in points if not math.isnan(one[1])] for labels, points in windows.items()}
        return {labels: points for labels, points in whole.items() if points}, begin_s

    def _increase(self, *, per_second: bool) -> Vector:
        """Extrapolated to the window as Prometheus does."""
        windows, begin_s = self._windows()
        found = {}
        for labels, points in windows.items():
            if len(points) > 1:
                grown = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(points))
                window_s = self._at_s - begin_s if per_second else 1
                found[_unnamed(labels)] = grown * _stretched(points, begin_s, self._at_s) / window_s
        return found


def _stretched(points: Sequence[tuple[float, float]], begin_s: float, end_s: float) -> float:
    (first_s, first), last_s = points[0], points[-1][0]
    sampled_s, grown = last_s - first_s, points[-1][1] - first
    mean_s = sampled_s / (len(points) - 1)
    before_s, after_s = first_s - begin_s, end_s - last_s
    if grown > 0 and first >= 0:
        before_s = min(before_s, sampled_s * first / grown)  # a counter was not below 0
    before_s = before_s if before_s < 1.1 * mean_s else mean_s / 2
    after_s = after_s if after_s < 1.1 * mean_s else mean_s / 2
    return (sampled_s + before_s + after_s) / sampled_s


def _unnamed(labels: Labels) -> Labels:
    return frozenset(one for one in labels if one[0] != "__name__")


def _matcher(name: str, operator: str, text: str) -> Callable[[dict[str, str]], bool]:
    def matches(labels: dict[str, str]) -> bool:
        value = labels.get(name, "")
        equal = value == text if operator in ("=", "!=") else re.fullmatch(text, value) is not None
        return equal == (operator in ("=", "=~"))

    return matches


def _combined(operator: str, left: Vector | float, right: Vector | float, on: tuple[str, ...] | None) -> Vector | float:
    def key(labels: Labels) -> Labels:
        return _unnamed(labels) if on is None else frozenset(one for one in labels if one[0] in on)

    if operator in ("and", "or", "unless"):
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        of_left, of_right = {key(one) for one in left}, {key(one) for one in right}
        if operator == "or":
            return left | {labels: value for labels, value in right.items() if key(labels) not in of_left}
        return {labels: value for labels, value in left.items() if (key(labels) in of_right) == (operator == "and")}
    if isinstance(left, float) and isinstance(right, float):
        return _SUMMED[operator](left, right)
    pairs: Iterable[tuple[Labels, float, float]]
    if isinstance(left, dict) and isinstance(right, dict):
        others = {key(labels): value for labels, value in right.items()}
        pairs = [(labels, value, others[key(labels)]) for labels, value in left.items() if key(labels) in others]
    elif isinstance(left, dict):
        assert isinstance(right, float)
        pairs = [(labels, value, right) for labels, value in left.items()]
    else:
        assert isinstance(right, dict)
        pairs = [(labels, left, value) for labels, value in right.items()]
    if operator in _COMPARED:
        of_left = isinstance(left, dict)
        return {labels: a if of_left else b for labels, a, b in pairs if _COMPARED[operator](a, b)}
    return {_unnamed(labels): _SUMMED[operator](a, b) for labels, a, b in pairs}


def _quantiles(share: float, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        group = frozenset(one for one in labels if one[0] not in ("le", "__name__"))
        groups.setdefault(group, []).append((float(dict(labels)["le"].replace("+Inf", "inf")), count))
    found = {}
    for group, counts in groups.items():
        counts.sort()
        total, below, before = counts[-1][1], 0.0, 0.0
        if not total:
            continue
        for bound, count in counts:
            if count >= share * total:
                inside = (share * total - before) / (count - before) if count > before else 0.0
                found[group] = below if math.isinf(bound) else below + (bound - below) * inside
                break
            below, before = bound, count
    return found


class Alerts:
    """The alerts of a rule file, evaluated every *step_s* seconds; `firing` are those that lasted for their time."""

    def __init__(self, rules: Mapping[str, Any], samples: Samples, step_s: float = 5.0) -> None:
        self._groups = [
            (seconds_of(group["interval"]) if "interval" in group else step_s, rule)
            for group in rules["groups"]
            for rule in group["rules"]
        ]
        self._samples, self._since_s = samples, dict[tuple[str, Labels], float]()
        self._firing: dict[str, dict[Labels, float]] = {}

    def evaluate(self, at_s: float) -> None:
        for interval_s, rule in self._groups:
            if at_s % interval_s:
                continue
            name, found = rule["alert"], Query(rule["expr"], self._samples, at_s).value()
            found = {_unnamed(labels) | set(rule["labels"].items()): value for labels, value in found.items()}
            for known in [key for key in self._since_s if key[0] == name and key[1] not in found]:
                del self._since_s[known]
            lasts_s = seconds_of(rule.get("for", "0s"))
            self._firing[name] = {
                labels: value
                for labels, value in found.items()
                if at_s - self._since_s.setdefault((name, labels), at_s) >= lasts_s
            }

    def firing(self, name: str) -> dict[Labels, float]:
        return self._firing.get(name, {})


def values_of(text: str) -> list[float | None]:
    """Read values as promtool writes them: `1 2 _ stale 0x10 3+1x5`; None for no sample, NaN for an end."""
    found: list[float | None] = []
    for word in text.split():
        if match := re.fullmatch(r"(-?[\d.e]+)(?:([+-])([\d.e]+))?x(\d+)", word):
            first, sign, by, count = match.groups()
            step = float(by or 0) * (-1 if sign == "-" else 1)
            found += [float(first) + step * number for number in range(int(count) + 1)]
        else:
            found.append(None if word == "_" else math.nan if word == "stale" else float(word))
    return found


def series_labels(text: str) -> Labels:
    (labels,) = page_of(f"{text} 0")
    return labels


def unit_test(rules: Mapping[str, Any], test: Mapping[str, Any], step_s: float) -> list[tuple[str, float, set[Labels]]]:
    """Play one of promtool's unit tests; return what fires at each of its instants: alert, s, labels."""
    samples, every_s = Samples(), seconds_of(test["interval"])
    for one in test.get("input_series", ()):
        for number, value in enumerate(values_of(one["values"])):
            if value is not None:
                samples.add(number * every_s, series_labels(one["series"]), value)
    wanted = sorted(((seconds_of(one["eval_time"]), one) for one in test["alert_rule_test"]), key=lambda pair: pair[0])
    alerts, at_s, found = Alerts(rules, samples, step_s), 0.0, []
    for until_s, one in wanted:
        while at_s <= until_s:
            alerts.evaluate(at_s)
            at_s += 1.0
        found.append((one["alertname"], until_s, set(alerts.firing(one["alertname"]))))
    return found
