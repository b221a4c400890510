"""Numbers as people read them."""

import math


def number(value: float | None, digits: int = 4) -> str:
    """Return *value* with at most so many digits that count, thousands parted; a dash for None."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def signed(value: float | None, digits: int = 4) -> str:
    """Return *value* with its sign in front, also where it is positive."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 else text


def short(value: float) -> str:
    """Return *value* as an axis or a knob says it, with all its digits up to ten."""
    return f"{value:,.10g}".replace("-", "−")


def percent(share: float | None) -> str:
    """Return a *share* of one in percent."""
    return "–" if share is None else f"{number(100 * share, 3)} %"


def lasting(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
