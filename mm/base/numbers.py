"""Formatting of numbers for display."""

import math
import re
from collections.abc import Sequence

MINUS = "−"  # U+2212 in text for display; files and JSON have the hyphen
_MINUS_OF_A_NUMBER = re.compile(rf"(?:(?<=\de)|(?<!\w)){MINUS}(?=[\d.])")  # also of an exponent
SHARPE_DAYS = 20  # with fewer days the headlines have no Sharpe ratio
ABOVE, BELOW, UNDECIDED = "above 0", "below 0", "undecided"
NORMAL = 1.959963984540054  # the two-sided 95 % quantile of the normal distribution
SMALLEST = 1e-12  # size below which a number has an exponent


def number(value: float | None, digits: int = 4) -> str:
    """Write at most *digits* significant digits, with thousands separators; a dash for None."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if abs(value) < SMALLEST:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def significant(value: float | None, digits: int = 4) -> str:
    """Exactly *digits* significant digits, with an exponent below 0.0001; a dash for None."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:#.{digits}g}".rstrip(".").replace("e-0", "e-").replace("-", MINUS)


def in_column(values: Sequence[float | None], *, exact: bool = False) -> list[str]:
    """Equal decimals: four digits of the largest, three of the median; a dash for None."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    sizes = [math.floor(math.log10(abs(value))) for value in sorted(known, key=abs) if value]
    places = 0
    if exact:
        places = max((len(short(value).partition(".")[2]) for value in known), default=0)
    elif any(value != round(value) for value in known):
        places = max(0, 3 - sizes[-1], 2 - sizes[len(sizes) // 2])
        while places and all(value == 0 or f"{value:.{places}f}".endswith("0") for value in known):
            places -= 1
    texts = {value: f"{round(value, places) + 0.0:,.{places}f}".replace("-", MINUS) for value in known}
    return [texts.get(value, "–") if value is not None else "–" for value in values]


def signed(value: float | None, digits: int = 4) -> str:
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 else text


def sign_of(low: float | None, high: float | None) -> str:
    """What a 95 % interval tells of a sign; all texts and colours ask here."""
    if low is None or high is None:
        return UNDECIDED
    return ABOVE if low > 0 else BELOW if high < 0 else UNDECIDED


def half_width(error: float | None, blocks: int | None = None) -> float | None:
    """Student's t over *blocks* behind *error*, else normal; what ``±`` means everywhere."""
    if error is None or math.isnan(error) or (blocks is not None and blocks < 2):
        return None
    from mm.base.special import stdtrit

    return error * (NORMAL if blocks is None else float(stdtrit(blocks - 1, 0.975)))


def fixed(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:+,.{places}f}".replace("-", MINUS)


def short(value: float) -> str:
    """Write as in an axis label or knob: up to ten significant digits, no exponent above 1e-12."""
    text = f"{value:,.10g}"
    if "e-" in text and abs(value) >= SMALLEST:
        text = f"{value:.{9 - math.floor(math.log10(abs(value)))}f}".rstrip("0")
    return text.replace("-", MINUS)


def with_plain_minus(text: str) -> str:
    """Write a typographic minus before a digit as a hyphen, for programs."""
    return _MINUS_OF_A_NUMBER.sub("-", text)


def noun(count: int, one: str, several: str = "") -> str:
    return one if count == 1 else several or f"{one}s"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{number(100 * share, 3)} %"


def probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def duration(seconds: float | None, *, exact: bool = False) -> str:
    """Write in the two largest units; below a minute an *exact* duration has decimals, in s or ms."""
    if seconds is None:
        return "–"
    if exact and seconds < 60:
        return f"{number(seconds, 3)} s" if seconds >= 1 else f"{number(1000 * seconds, 3)} ms"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
