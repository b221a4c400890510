"""A knob: one dataclass field that is also one flag, one environment variable and one manifest entry.

``order_latency_ms: float = knob(50.0, number(0), "From sending ...")`` gives ``--order-latency-ms``,
``ORDER_LATENCY_MS``, the help, a row in docs/lookup/configuration.md and a manifest entry.
A reader turns text into the value.
"""

import dataclasses
import difflib
import itertools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mm.base.paths import is_pipe
from mm.clock import has_zones, next_day, parse_day, plain_days, zone_of
from mm.errors import OffGrid, Sentence, UsageError, parameter
from mm.instrument import e8, short_text
from mm.markets.registry import DEFAULT, MARKETS

REQUIRED = dataclasses.MISSING
_FOUND: dict[type, "tuple[Knob, ...]"] = {}  # cached knobs of each group
_KEY = "knob"
_LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Reader:
    """Converts what a user gives, for a command's knob its text, into the value."""

    metavar: str
    parse: Callable[[Any], Any]
    words: tuple[str, ...] = ()
    completes: str = ""


class Unit(NamedTuple):
    """A parameter's unit, and the power of the tick size that converts a price to it."""

    text: str
    power: int


@dataclass(frozen=True, slots=True)
class Knob:
    """One parameter that a user may set: of a command, a model, a market's scenario or a fault.

    Attributes:
        matters: Whether a result depends on it; then the digest covers it.
        joined: Separator of repeated flags' texts; None: given only once.
        common: Its line in ``--help``; without one, only ``--help-all`` lists it.
        argument: The Python argument that takes its value, by which that object's errors name it.
        by_run: Set by the run, not the user (a model's ``seed``, ``intensity``).
    """

    reader: Reader
    default: Any = REQUIRED
    help: str = ""
    name: str = ""
    flag: str = ""
    matters: bool = True
    joined: str | None = None
    common: str = ""
    alias: str | None = None
    argument: str | None = None
    unit: Unit | None = None
    by_run: bool = False

    @property
    def variable(self) -> str:
        return self.name.upper()

    def read(self, text: str) -> Any:
        try:
            return self.reader.parse(text.strip())
        except ValueError as error:
            raise UsageError("{} was {!r}: it must be {}", parameter(self.name), text, error) from error

    def check(self, owner: Sentence | str, value: Any) -> Any:
        """Return *value* as the parameter's type (1 as 1.0); UsageError with *owner*, name and value."""
        try:
            return self.reader.parse(value)
        except ValueError as error:
            unit = f", in {self.unit.text}" if self.unit and self.unit.power else ""
            raise UsageError("{}: {} is {!r}; it must be {}{}", owner, self.name, value, error, unit) from None


def knob(default: Any, reader: Reader, text: str, **others: Any) -> Any:
    return dataclasses.field(default=default, metadata={_KEY: Knob(reader, default, text, **others)})


def knobs(group: type) -> tuple[Knob, ...]:
    if group not in _FOUND:
        declared = [(entry.name, entry.metadata[_KEY]) for entry in dataclasses.fields(group)]
        _FOUND[group] = tuple(
            dataclasses.replace(unnamed, name=name, flag=unnamed.flag or "--" + name.replace("_", "-"))
            for name, unnamed in declared
        )
    return _FOUND[group]


def shown(value: Any) -> str:
    """Write a value as it would be typed; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, tuple):
        return ",".join(shown(part) for part in value)
    return str(value)


def closest(word: str, known: Iterable[str], most: int = 1) -> str:
    """ "; did you mean X?" with at most *most* known names that are close or begin with *word*."""

    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word, names, n=most) or [name for name in names if word and name.startswith(word)]
    return f"; did you mean {' or '.join(near[:most])}?" if near else ""


def typed(value: Any) -> str:
    """Write dicts and lists as JSON, numbers without exponents."""
    value = plain(value)
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=_in_json)
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f")
    return shown(tuple(map(plain, value)) if isinstance(value, tuple) else value)


def plain(value: Any) -> Any:
    """Return Python's number for a scalar of numpy or an array of one, a list for other arrays, else the value itself.

    A number of single precision is the shortest decimal for it: 0.1, not 0.10000000149.
    """
    if isinstance(value, Fraction):
        return float(value)
    if not hasattr(value, "ndim") or not hasattr(value, "tolist"):
        return value
    number = value.tolist()
    return number if value.ndim or not isinstance(number, float) else float(str(value))


def _in_json(value: Any) -> Any:
    """Return what JSON has for a number that it does not know."""
    number = float(value) if isinstance(value, Decimal) else plain(value)
    if number is value:
        raise UsageError(f"{value!r} cannot be written as JSON: give a number, text, a list or a dict")
    return number


def span(low: Any = None, high: Any = None, above: Any = None, below: Any = None) -> str:
    """The end of a sentence: " between 0 and 5"."""
    if low is not None and high is not None:
        return f" between {shown(low)} and {shown(high)}"
    bounds = {"above": above, "at least": low, "below": below, "at most": high}
    text = " and ".join(f"{word} {shown(bound)}" for word, bound in bounds.items() if bound is not None)
    return f" of {text}" if text.startswith("at") else f" {text}".rstrip()


def _bounded(convert: Callable[[str], Any], what: str, low: Any, high: Any) -> Callable[[str], Any]:
    wanted = f"{what}{span(low, high)}"

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            raise ValueError(wanted) from None
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(wanted)
        return value

    return parse


def integer(low: int | None = None, high: int | None = None) -> Reader:
    return Reader("INTEGER", _bounded(int, "a whole number", low, high))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def number(low: float | None = None, high: float | None = None) -> Reader:
    return Reader("NUMBER", _bounded(_finite, "a number", low, high))


def _or_word(word: str, read: Reader) -> Reader:
    def parse(text: str) -> Any:
        if text == word:
            return word
        try:
            return read.parse(text)
        except ValueError as error:
            raise ValueError(f"{word} or {error}") from None

    return Reader(f"{read.metavar}|{word}", parse)


def number_or(word: str, low: float, high: float) -> Reader:
    return _or_word(word, number(low, high))


def numbers(low: float, high: float) -> Reader:
    """Read different finite numbers, comma-separated, in the given order."""
    single = number(low, high)

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(single.parse(part) for part in text.split(","))
        except ValueError as error:
            raise ValueError(f"a list such as 1,2,3,5, each entry {error}") from None
        if len(set(values)) < len(values):
            raise ValueError("a list without repeats, such as 1,2,3,5")
        return values

    return Reader("N,N,…", parse)


def numbers_or(word: str, low: float, high: float) -> Reader:
    return _or_word(word, numbers(low, high))


def decimal(low: str | None = None, high: str | None = None) -> Reader:
    """Read at most eight places, kept as exact text without trailing zeros."""

    def parse(text: str) -> str:
        wanted = f"a plain decimal such as 0.001{span(low, high)}, of at most eight places"
        try:
            value = e8(text)
        except OffGrid:
            raise ValueError(wanted) from None
        if (low is not None and value < e8(low)) or (high is not None and value > e8(high)):
            raise ValueError(wanted)
        return short_text(value)

    return Reader("DECIMAL", parse)


def one_of(*words: str, upper: bool = False) -> Reader:
    """Read one of *words*; with *upper*, in any case, stored in capitals."""

    def parse(text: str) -> str:
        word = text.upper() if upper else text
        if word not in words:
            raise ValueError(f"one of {', '.join(words)}{closest(word, words)}")
        return word

    return Reader("|".join(words), parse, words)


def text_of_number_or(words: Collection[str], low: float, high: float) -> Reader:
    read = number(low, high)

    def parse(text: str) -> str:
        if text in words:
            return text
        try:
            read.parse(text)
        except ValueError as error:
            raise ValueError(f"{', '.join(words)} or {error}{closest(text, words)}") from None
        return text

    return Reader("|".join((*words, read.metavar)), parse, tuple(words))


def matching(pattern: str, wanted: str, metavar: str = "TEXT", completes: str = "") -> Reader:
    """The whole text must match *pattern*; *wanted* describes it."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(wanted)
        return text

    return Reader(metavar, parse, completes=completes)


class ServerUrl(str):
    """A server's URL, perhaps with a password; manifests and messages show *place*."""

    __slots__ = ()

    @property
    def place(self) -> str:
        parts = urlsplit(self)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def server_url(pattern: str, wanted: str) -> Reader:
    """*pattern* is a regular expression for the scheme, *wanted* describes it."""

    def parse(text: str) -> ServerUrl:
        try:
            known = re.fullmatch(rf"({pattern})://\S+", text) and ServerUrl(text).place
        except ValueError:  # an invalid port
            known = None
        if not known:
            raise ValueError(wanted)
        return ServerUrl(text)

    return Reader("URL", parse)


def base_url(*schemes: str) -> Reader:
    def parse(text: str) -> str:
        if not re.fullmatch(rf"({'|'.join(schemes)})://[^/\s?#]+/?", text):
            raise ValueError(f"a base URL without a path, such as {schemes[-1]}://host:443")
        return text.rstrip("/")

    return Reader("URL", parse)


def is_switch(text: str) -> bool:
    return text.lower() in ("0", "1", "true", "false")


def _switch(text: str) -> bool:
    if not is_switch(text):
        raise ValueError("0 or 1")
    return text.lower() in ("1", "true")


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object without a name twice, such as {next(n for n in names if names.count(n) > 1)!r}")
    return content


def _json_object(text: str) -> str:
    wanted = 'a JSON object such as {"gamma": 0.1}'

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a JSON number")

    try:
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=_each_once)
    except ValueError as error:
        raise ValueError(f"{wanted} ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(wanted)
    return json.dumps(value, sort_keys=True)


def _path(text: str) -> Path:
    if not text:
        raise ValueError("a path")
    path = Path(text).expanduser()
    if is_pipe(path):
        raise ValueError("a file: it is read more than once, so write what the pipe delivers to one")
    return path


def _zone(text: str) -> str:
    try:
        zone_of(text)
    except UsageError:
        if not has_zones():
            raise
        raise ValueError("a time zone such as Europe/Berlin") from None
    return text


TEXT = Reader("TEXT", str)
SWITCH = Reader("0|1", _switch, ("0", "1"))
JSON = "JSON"  # the metavar of JSON values
JSON_OBJECT = Reader(JSON, _json_object)
PATH = Reader("PATH", _path, completes="path")
FIT = Reader("PATH|RUN|last", _path, completes="fit")
ZONE = Reader("ZONE", _zone)


_MOST_SYMBOL = 40


def _symbol(text: str) -> str:
    if not re.fullmatch(r"\w[\w-]*(\.[\w-]+)*", text) or len(text) > _MOST_SYMBOL:
        raise ValueError("a symbol such as BTCUSDT")
    return text.upper()


def _symbols(text: str) -> str:
    names = [_symbol(part.strip()) for part in text.split(",")]
    if len(set(names)) < len(names):
        raise ValueError("a list of different symbols, such as BTCUSDT,ETHUSDT")
    return ",".join(names)


_OTHER = {"symbol", "data_root", "feed_latency_ms", "orders", "market", "ws_url", "rest_url", "ws_api_url"}


def _others(text: str) -> str:
    if text.startswith("{"):
        declared = json.loads(_json_object(text))
    else:
        pairs = [part.strip().rpartition("=") for part in text.split(",")]
        declared = {name or symbol.upper(): {"symbol": symbol} for name, _, symbol in pairs}
        if len(declared) < len(pairs):
            raise ValueError("a list of different names, such as lead=BTCUSDT,other=ETHUSDT")
    for name, market in declared.items():
        if not re.fullmatch(r"\w+", name) or not isinstance(market, dict) or "symbol" not in market:
            raise ValueError(
                f'an object by name, such as {{"lead": {{"symbol": "BTCUSDT"}}}}, not {name!r}: {market!r}'
            )
        if unknown := sorted(market.keys() - _OTHER):
            raise ValueError(f"without {unknown[0]!r} in {name!r}; its keys are {', '.join(sorted(_OTHER))}")
        late = market.get("feed_latency_ms")
        if late is not None and not (isinstance(late, int | float) and 0 <= late <= 1e7):
            raise ValueError(f"a feed_latency_ms from 0 to 1e7 in {name!r}, not {late!r}")
        if market.get("market", DEFAULT.name) not in MARKETS:
            raise ValueError(f"a market of {' or '.join(MARKETS)} in {name!r}, not {market['market']!r}")
        if not isinstance(market.get("orders", {}), dict):
            raise ValueError(f"an object of knobs as orders in {name!r}, not {market['orders']!r}")
        market["symbol"] = _symbol(str(market["symbol"]))
    return json.dumps(declared, sort_keys=True)


OTHERS = Reader("NAME=SYMBOL,…|JSON", _others)
WRITTEN = "NAME=value,value,…; NAME=value,…"
_OPENING, _CLOSING = "{[(", "}])"


_NEXT_AXIS = re.compile(r"\s+(?=[A-Za-z_][\w.]*=)")


def axes_of(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Split axes (``;``) and their values (``,``); ValueError says what the text must be.

    Neither separates inside brackets or double quotes; quotes around a whole value are dropped, but kept in a JSON
    object.
    """
    axes = []
    for part in _split(text, ";"):
        name, equals, values = part.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"{WRITTEN} ({part.strip()!r} is not an axis with values)")
        written = [value.strip() for value in _split(values, ",")]
        texts = tuple(map(_unquoted, written))
        if not all(texts):
            raise ValueError(f"{WRITTEN} (axis {name} has {'no' if texts == ('',) else 'an empty'} value)")
        if any(_NEXT_AXIS.search(value) for value in written if value[0] not in '{["'):
            raise ValueError(f"{WRITTEN} (blanks do not separate axes; write {_NEXT_AXIS.sub(';', text)!r})")
        axes.append((name, texts))
    return axes


def _split(text: str, sign: str) -> list[str]:
    parts, depth, quoted, escaped = [""], 0, False, False
    for letter in text:
        if not quoted:
            depth += (letter in _OPENING) - (letter in _CLOSING)
        if letter == '"' and not escaped:
            quoted = not quoted
        escaped = letter == "\\" and not escaped
        if letter == sign and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    if depth or quoted:
        raise ValueError(f"{WRITTEN} ({text!r} has {'a quote' if quoted else 'brackets'} without an end)")
    return parts


def _unquoted(value: str) -> str:
    inside = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if inside else value


def _grid(text: str) -> str:
    parts = [part.strip() for part in _split(text, ";")]
    whole_text = ";".join(part for part in parts if part)
    axes_of(whole_text)
    return whole_text


def day_list(text: str) -> tuple[str, ...]:
    """Read ``YYYYMMDD`` or ``YYYY-MM-DD``, a rising list or ``first:last``; ValueError says what is wanted."""
    wanted = "YYYYMMDD, a rising list 20251216,20251217 or a range 20251216:20251220"
    first, colon, last = plain_days(text).partition(":")
    days = (first, last) if colon else tuple(part.strip() for part in first.split(","))
    try:
        dates = [parse_day(day) for day in days]
    except ValueError as error:
        raise ValueError(f"{wanted} ({error})") from None
    if not colon:
        if any(later <= earlier for earlier, later in itertools.pairwise(dates)):
            raise ValueError(wanted)
        return days
    if not timedelta(0) <= dates[1] - dates[0] <= _LONGEST:
        raise ValueError(f"{wanted}, the first day before the last and at most {_LONGEST.days} days apart")
    inside = [first]
    while inside[-1] != last:
        inside.append(next_day(inside[-1]))
    return tuple(inside)


def _days(text: str) -> str:
    day_list(text)
    return plain_days(text)


def _one_day(text: str) -> str:
    days = day_list(text)
    if len(days) > 1:
        raise ValueError("YYYYMMDD, because this command takes one day")
    return days[0]


SYMBOL = Reader("SYMBOL", _symbol, completes="symbol")
SYMBOLS = Reader("SYMBOL", _symbols, completes="symbol")
DAYS = Reader("DAY", _days, completes="day")
ONE_DAY = Reader("DAY", _one_day, completes="day")
GRID = Reader("NAME=V,V,…", _grid)
