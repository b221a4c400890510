"""Variables in ``.env``, or in the file of MM_ENV_FILE, read as ``docker compose`` reads the same file.

They count as exported unless the environment sets them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mm.base.texts import read_text, untyped
from mm.errors import BrokenFile, DataError
from mm.terminal.console import SECRET

ENV_FILE, ENV_IN_FOLDER = "MM_ENV_FILE", ".env"
NO_FILE = "none"  # the word by which such a file of the working folder is ignored

_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*")
_QUOTED = {quote: re.compile(rf"{quote}((?:\\.|[^\\{quote}])*){quote}", re.DOTALL) for quote in "'\""}
_ESCAPE = re.compile(r'\\([nrt"\\$])')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}
_DOLLAR = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\})?")


@dataclass(frozen=True)
class EnvFile:
    """The variables of one file.

    Attributes:
        values: What counts as exported.
        unused: Variables that no other of the file contains as ``${NAME}``.
        notes: What to warn of.
    """

    path: str
    values: Mapping[str, str]
    unused: frozenset[str]
    notes: tuple[str, ...]


def env_file(environment: Mapping[str, str]) -> EnvFile | None:
    """Read MM_ENV_FILE or ``.env``; DataError, or BrokenFile with the line."""
    given = environment.get(ENV_FILE) or (ENV_IN_FOLDER if Path(ENV_IN_FOLDER).is_file() else NO_FILE)
    if given == NO_FILE:
        return None
    path = Path(given).expanduser()
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise DataError(f"{ENV_FILE}: {path}: there is no such file; give another, or {NO_FILE}") from None
    except (OSError, ValueError) as error:
        raise BrokenFile(f"{ENV_FILE}: {path}: cannot be read ({error}); give a file of NAME=value lines") from error
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    used, notes = set[str](), []
    for number, name, value, expands in _assignments(path, text):
        if name in values:
            notes.append(f"{path}:{number}: {name} is set a second time; this line counts, not line {lines[name]}")
        lines[name], values[name] = number, value
        if expands and "$" in value:
            place = f"{path}:{number}: {name}"
            values[name] = _expanded(place, value, lambda asked: environment.get(asked) or values.get(asked), used)
            if SECRET.search(name):  # other values are shown
                notes.append(f"{place}: its $ was read as docker compose reads it; single quotes keep it as it is")
    exported = {name: value for name, value in values.items() if not environment.get(name)}
    return EnvFile(str(path), exported, frozenset(exported) - used, tuple(notes))


def _assignments(path: Path, text: str) -> Iterator[tuple[int, str, str, bool]]:
    """Yield line number, name, value, and whether variables within the value count."""
    at = 0
    while at < len(text):
        number = text.count("\n", 0, at) + 1
        line, place = text[at:].partition("\n")[0], f"{path}:{number}"
        if not line.strip() or line.lstrip().startswith("#"):
            at += len(line) + 1
            continue
        found = _NAME.match(line)
        if found is None:
            odd = untyped(line.partition("=")[0])
            raise BrokenFile(
                f"{place}: {line.strip()!r} does not set a variable{f', for it has {odd}' if odd else ''}; write "
                f"NAME=value, or {ENV_FILE}={NO_FILE}"
            )
        name, quote = found[1], line[found.end() : found.end() + 1]
        if quote not in _QUOTED:
            bare = re.sub(r"(?:^|\s+)#.*", "", line[found.end() :]).strip()
            if odd := untyped(bare):
                raise BrokenFile(f"{place}: {name} has {odd}; type it anew, or put the value in quotes if it is meant")
            yield number, name, bare, True
            at += len(line) + 1
            continue
        quoted = _QUOTED[quote].match(text, at + found.end())
        if quoted is None:
            raise BrokenFile(f"{place}: the quote of {name} has no end; close it")
        rest = text[quoted.end() :].partition("\n")[0]
        if rest.strip() and not rest.lstrip().startswith("#"):
            raise BrokenFile(f"{place}: {rest.strip()!r} stands behind the quote of {name}; close the quote at its end")
        if quote == "'":
            yield number, name, quoted[1].replace(r"\'", "'"), False
        else:
            yield number, name, _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted[1]), True
        at = quoted.end() + len(rest) + 1


def _expanded(place: str, value: str, look_up: Callable[[str], str | None], used: set[str]) -> str:
    """Put in variables: ``$$`` is a dollar; ``${NAME:-other}`` and its kin are those of shells."""

    def put(found: re.Match[str]) -> str:
        dollar, name, sign, other = found[1], found[2] or found[3], found[4] or "", found[5] or ""
        if dollar:
            return "$"
        held = look_up(name) if name and not name[0].isdigit() else None
        if name:
            used.add(name)
        if sign.endswith("+"):
            return _expanded(place, other, look_up, used) if held else ""
        if held is not None and (held or not sign.startswith(":")):
            return held
        if sign.endswith("-"):
            return _expanded(place, other, look_up, used)
        raise BrokenFile(
            f"{place}: {found[0]} is no variable that is set; write $$ for a dollar, or put the value in single quotes"
        )

    return _DOLLAR.sub(put, value)
