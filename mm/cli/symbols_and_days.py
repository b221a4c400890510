"""Which symbols and which days, as people write them: one, a list, a range."""

import itertools
import re
from datetime import timedelta

from mm.cli.knobs import Reader
from mm.clock import next_day, parse_day

_LONGEST = timedelta(days=3660)


def _symbol(text: str) -> str:
    if not re.fullmatch(r"[\w-]{1,40}", text):
        raise ValueError("a symbol such as BTCUSDT")
    return text.upper()


def _symbols(text: str) -> str:
    names = [_symbol(part.strip()) for part in text.split(",")]
    if len(set(names)) < len(names):
        raise ValueError("symbols that differ, such as BTCUSDT,ETHUSDT")
    return ",".join(names)


def day_list(text: str) -> tuple[str, ...]:
    """Return the days that ``YYYYMMDD``, a comma list or a range ``first:last`` names, in rising order.

    Raises:
        ValueError: With what the text must be.
    """
    wanted = "YYYYMMDD, a rising list 20251216,20251217 or a range 20251216:20251220"
    first, colon, last = text.partition(":")
    days = (first, last) if colon else tuple(part.strip() for part in text.split(","))
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


def _day(text: str) -> str:
    day_list(text)
    return text


SYMBOL = Reader("SYMBOL", _symbol)
SYMBOLS = Reader("SYMBOL", _symbols)
DAYS = Reader("DAY", _day)
