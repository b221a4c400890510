"""A script of faults, a rule a line: ``at WHEN [on TARGET] do FAULT [key=value …]``."""

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mm.base.knobs import closest
from mm.base.texts import read_text
from mm.sim.wire.faults.fault import BadScript, Fault
from mm.sim.wire.faults.table import FAULTS

TRIGGERS = ("id", "trade", "time", "connect", "request")
TARGETS = ("all", "newest", "random")
_API = "/api/v3/"


@dataclass(frozen=True, slots=True)
class Trigger:
    kind: str
    number: float
    path: str = _API

    def __post_init__(self) -> None:
        if self.kind not in TRIGGERS:
            raise BadScript(f"at {self.kind}: a rule acts at {', '.join(TRIGGERS)}{closest(self.kind, TRIGGERS)}")
        if not self.number >= 0 or (self.kind != "time" and self.number != int(self.number)):
            raise BadScript(f"at {self.kind} {self.number}: it must be a number of at least 0, whole except for time")

    def __str__(self) -> str:
        number = self.number if self.kind == "time" else int(self.number)
        return f"{self.kind} {number}" + (f" of {shlex.quote(self.path)}" if self.kind == "request" else "")


@dataclass(frozen=True, slots=True)
class Rule:
    trigger: Trigger
    fault: Fault
    target: str | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.target, str) and self.target not in TARGETS:
            raise BadScript(f"on {self.target}: it must be {', '.join(TARGETS)} or the number of a connection")
        if self.target in TARGETS[1:] and not self.fault.kind.now:
            raise BadScript(f"on {self.target}: {self.fault.kind.name} affects connections that open later")

    def __str__(self) -> str:
        target = "" if self.target is None else f" on {self.target}"
        return f"at {self.trigger}{target} do {self.fault}"


def read_script(text: str, source: str = "script") -> list[Rule]:
    """Raises BadScript with the first invalid line and the valid alternatives; ``#`` starts a comment."""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                rules.append(_rule(words))
        except (BadScript, ValueError) as error:
            raise BadScript(f"{source}:{number}: {line.strip()!r}: {error}") from error
    return rules


def load_script(path: Path) -> list[Rule]:
    try:
        return read_script(read_text(path), path.name)
    except (OSError, ValueError) as error:
        raise BadScript(f"{path}: cannot be read ({error}); give a text file with one rule per line") from error


def as_rules(faults: Iterable[Rule | str]) -> list[Rule]:
    return [rule for fault in faults for rule in ([fault] if isinstance(fault, Rule) else read_script(fault))]


def _rule(words: list[str]) -> Rule:
    head, tail = _split(words)
    if len(head) < 3 or head[0] != "at":
        raise BadScript("a rule begins with: at id|trade|time|connect|request NUMBER")
    kind, number, *rest = head[1:]
    path = _API
    if kind == "request" and rest[:1] == ["of"] and len(rest) > 1:
        path, rest = rest[1], rest[2:]
    target: str | int | None = None
    if rest[:1] == ["on"] and len(rest) > 1:
        target, rest = (int(rest[1]) if rest[1].isdecimal() else rest[1]), rest[2:]
    if rest:
        raise BadScript(f"{' '.join(rest)!r} before 'do' is not understood; it may be: on all|newest|random|NUMBER")
    return Rule(Trigger(kind, _number(number), path), _fault(tail), target)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    if "do" not in words or words[-1] == "do":
        raise BadScript("a rule ends with: do FAULT key=value ...")
    at = words.index("do")
    return words[:at], words[at + 1 :]


def _fault(words: list[str]) -> Fault:
    name, *settings = words
    if name not in FAULTS:
        raise BadScript(f"unknown fault {name!r}; known: {', '.join(FAULTS)}{closest(name, FAULTS)}")
    kind = FAULTS[name]
    given: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key not in kind.parameters:
            known = ", ".join(kind.parameters) or "no parameter"
            raise BadScript(f"{name} has no parameter {setting!r}; it has {known}")
        given[key] = value
    return kind.make(**given)


def _number(text: str) -> float:
    if text.removeprefix("-").isdecimal():
        return int(text)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadScript(f"{text}: it must be a number")
    return number
