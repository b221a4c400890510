"""Instants as programs write them: Unix times of any unit, and ISO 8601 with relatives."""

import re

import polars as pl

from mm.clock import US_PER_S, stamp_to_us

UNITS = {"s": US_PER_S, "ms": 1_000, "us": 1}
_NS_PER_US = 1_000
_PLACES = {"s": 6, "ms": 3, "us": 0}
_NUMBER = r"^(\d{1,19})(?:\.\d*)?$"
_DATE = r"(\d{4})[-/]?(\d\d)[-/]?(\d\d)"
_ISO = (
    rf"^{_DATE}[T ]+(\d\d):?(\d\d)(?::?(\d\d))?(?:[.,](\d+))? ?"
    r"(?:[Zz]|UTC|GMT|([+-])(\d\d)(?::?(\d\d))?(?::?00)?)?$"
)


def unit_of(text: str) -> str:
    number = re.match(_NUMBER, text)
    if number is None:
        return "iso" if re.match(_ISO, text) else ""
    stamp = int(number[1])
    us = stamp_to_us(stamp)
    return next((unit for unit, factor in UNITS.items() if us == stamp * factor), "ns")


def instants_us(text: pl.Series, unit: str) -> pl.Series:
    """In µs; null if not of the *unit*."""
    if unit == "iso":
        return _iso_us(text)
    whole = text.str.extract(_NUMBER).cast(pl.Int64, strict=False)
    if unit == "ns":
        return whole // _NS_PER_US
    places = _PLACES[unit]
    us = whole * UNITS[unit]
    if not places:
        return us
    fraction = text.str.extract(r"\.(\d*)$").fill_null("").str.pad_end(places, "0").str.slice(0, places)
    return us + fraction.cast(pl.Int64, strict=False).fill_null(0)


def _iso_us(text: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"text": text})
    names = ("year", "month", "day", "hour", "minute", "second", "fraction", "sign", "offset_h", "offset_min")
    parts = frame.select(pl.col("text").str.extract_groups(_ISO).struct.rename_fields(list(names)).struct.unnest())
    stamp = pl.format("{}-{}-{}T{}:{}:{}", *names[:5], pl.col("second").fill_null("00"))
    moment = stamp.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).dt.epoch("us")
    fraction = pl.col("fraction").fill_null("").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    hours, minutes = (pl.col(name).cast(pl.Int64).fill_null(0) for name in ("offset_h", "offset_min"))
    east_us = pl.when(pl.col("sign") == "-").then(-1).otherwise(1) * (hours * 60 + minutes) * 60 * US_PER_S
    return parts.select((moment + fraction - east_us).alias("us"))["us"]
