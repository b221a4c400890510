"""Settings in files: ``mm.toml`` or ``mm.yaml`` in the working folder, or the file of ``--config`` (MM_CONFIG).

Keys are knobs; sections only group them. Flag before environment before file before default.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from mm.base.knobs import JSON, Knob, closest, typed
from mm.base.texts import read_text, untyped
from mm.cli.env_file import ENV_FILE, NO_FILE
from mm.errors import BrokenFile, DataError, UsageError

VARIABLE = "MM_CONFIG"
IN_FOLDER = ("mm.toml", "mm.yaml")
LEFT_OUT = {VARIABLE: NO_FILE, ENV_FILE: NO_FILE}
"""The environment of a process that takes its settings from flags and variables alone."""


@dataclass(frozen=True)
class SettingsFile:
    path: Path
    values: Mapping[str, Any]

    def check(self, known: Iterable[str], every: Callable[[], Iterable[str]]) -> None:
        """Refuse an unknown key, with the closest name; *every* is called only if needed."""
        known = set(known)
        if any(key not in known for key in self.values):
            known |= set(every())
        for key in self.values:
            if key not in known:
                raise UsageError(f"{self.path}: there is no knob {key!r}{closest(key.lower(), sorted(known))}")

    def texts(self, knobs: Iterable[Knob]) -> dict[str, str | tuple[str, ...]]:
        """Return the settings as they would be typed; UsageError for a value of a kind that no knob takes."""
        texts = {knob.name: self._text(knob) for knob in knobs if knob.name in self.values}
        return {name: text for name, text in texts.items() if text}

    def _text(self, knob: Knob) -> str | tuple[str, ...]:
        value = self.values[knob.name]
        if isinstance(value, list) and knob.reader.metavar != JSON:
            parts = tuple(self._single(knob.name, part) for part in value)
            return parts if knob.joined is not None else ",".join(parts)
        # Decimals become floats.
        text = json.dumps(value, default=float) if isinstance(value, dict | list) else self._single(knob.name, value)
        return (text,) if knob.joined is not None and text else text

    def _single(self, name: str, value: Any) -> str:
        if isinstance(value, Decimal):
            return format(value, "f")
        if type(value) is date:
            return f"{value:%Y%m%d}"
        if isinstance(value, str | bool | int | float):
            return typed(value)
        raise UsageError(f"{self.path}: {name} is {value!r}; write text, a number, true, false or a list of them")


def settings_file(given: str | None) -> SettingsFile | None:
    """Return the file *given*, or the one in the working folder; DataError, BrokenFile or UsageError."""
    if given == NO_FILE:
        return None
    if given:
        path = Path(given).expanduser()
        if path.is_fifo():
            raise DataError(
                f"--config (MM_CONFIG): {path}: it is read more than once, so write what the pipe delivers to a file"
            )
        if not path.is_file():
            raise DataError(f"--config (MM_CONFIG): {path}: there is no such file; give another, or {NO_FILE}")
        return _read(path)
    there = [Path(name) for name in IN_FOLDER if Path(name).is_file()]
    if len(there) > 1:
        raise UsageError(
            f"{' and '.join(map(str, there))} are both in this folder; keep one, or select one with --config"
        )
    return _read(there[0]) if there else None


def _read(path: Path) -> SettingsFile:
    text = ""
    try:
        text = read_text(path)
        content = _yaml(text) if path.suffix in (".yaml", ".yml") else tomllib.loads(text, parse_float=Decimal)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        line = re.search(r"line (\d+)", why)
        odd = untyped(text.splitlines()[int(line[1]) - 1]) if line and text else None
        why += f"; the line has {odd}" if odd else ""
        raise BrokenFile(f"{path}: cannot be read as settings ({why}); correct it, or give --config none") from error
    values: dict[str, Any] = {}
    for key, value in _flat(content):
        if key in values:
            raise UsageError(f"{path}: {key} is set twice, in different sections; keep one")
        values[key] = value
    return SettingsFile(path, values)


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping of names to values")
    return content


def _flat(content: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and not str(key).endswith("_json"):
            yield from _flat(value)
        elif value is not None:
            yield str(key), value
