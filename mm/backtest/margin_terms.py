"""The knobs of a contract's margin, and the terms that follow from them and the day."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.base.knobs import PATH, integer, knob, one_of
from mm.base.texts import read_text
from mm.errors import BrokenFile, OffGrid, UsageError
from mm.instrument import E8, e8, short_text
from mm.margin.brackets import BRACKETS, MOST_LEVERAGE, Bracket, Brackets
from mm.margin.liquidation import CLEARANCE_RATE_E8
from mm.margin.wallet import FIRST_LEVERAGE

if TYPE_CHECKING:
    from mm.tape.tape import Tape

DOCUMENTED = "those that the exchange documents for BTCUSDT"
_CONTINUOUS_E8 = 1  # what a deduction may be off for its own rounding, 1e-8


@dataclass(frozen=True, kw_only=True)
class Margin:
    """The margin of a contract's account; days of Spot have none."""

    leverage: int | None = knob(
        None,
        integer(1, MOST_LEVERAGE),
        f"Leverage of a contract, which sets its initial margin; without it the exchange's first, {FIRST_LEVERAGE}. "
        "mm trade requires it of the symbol at the start, and never changes it.",
        common="Leverage of a contract",
    )
    margin_type: str | None = knob(
        None,
        one_of("cross", "isolated"),
        "Whether a position is backed by the whole account, or by a margin of its own; without it cross. mm trade "
        "requires it of the symbol at the start, and never changes it.",
    )
    brackets_file: Path | None = knob(
        None,
        PATH,
        "JSON of the exchange's leverageBracket (its answer); without it the brackets that it documents for BTCUSDT.",
    )


@dataclass(frozen=True, kw_only=True)
class MarginTerms:
    leverage: int = FIRST_LEVERAGE
    isolated: bool = False
    brackets: Brackets = BRACKETS
    clearance_rate_e8: int = CLEARANCE_RATE_E8
    brackets_from: str = DOCUMENTED
    clearance_from: str = DOCUMENTED

    @classmethod
    def of(cls, margin: Margin | None, tape: "Tape") -> "MarginTerms | None":
        """None without margin, and for markets other than USD-M; raises BrokenFile or UsageError."""
        if margin is None or not tape.meta.market.contract:
            return None
        path, rate_e8 = margin.brackets_file, tape.instrument.filters.liquidation_rate_e8
        brackets = BRACKETS if path is None else read_brackets(path, tape.symbol)
        leverage, most = margin.leverage or FIRST_LEVERAGE, max(bracket.leverage for bracket in brackets)
        if margin.leverage is None:
            leverage = min(leverage, most)
        if leverage > most:
            raise UsageError(
                "{leverage} is {}, but {} of {} allow at most {}; lower it",
                leverage,
                path or "the documented brackets",
                tape.symbol,
                most,
            )
        return cls(
            leverage=leverage,
            isolated=margin.margin_type == "isolated",
            brackets=brackets,
            clearance_rate_e8=rate_e8 or CLEARANCE_RATE_E8,
            brackets_from=DOCUMENTED if path is None else path.name,
            clearance_from="instrument.json" if rate_e8 else DOCUMENTED,
        )


def read_brackets(path: Path, symbol: str) -> Brackets:
    """Read the exchange's answer to ``leverageBracket``; BrokenFile if its rows do not follow each other."""
    way = "save the answer of GET /fapi/v1/leverageBracket as it is"
    try:
        content = json.loads(read_text(path), parse_float=str, parse_int=str)
        answers = [content] if isinstance(content, Mapping) else content
        rows = next((one["brackets"] for one in answers if one["symbol"] == symbol), None)
        if rows is None:
            known = ", ".join(sorted(one["symbol"] for one in answers)) or "none"
            raise BrokenFile(f"{path} (BRACKETS_FILE) has no brackets of {symbol}, only of {known}; {way}")
        brackets = tuple(_bracket(row) for row in rows)
    except OSError as error:
        raise BrokenFile(f"{path} (BRACKETS_FILE) cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, OffGrid) as error:
        raise BrokenFile(f"{path} (BRACKETS_FILE) is not a table of leverage brackets ({error!r}); {way}") from error
    if fault := _fault(brackets):
        raise BrokenFile(f"{path} (BRACKETS_FILE): {symbol}: {fault}; {way}")
    return brackets


def _bracket(row: Mapping[str, Any]) -> Bracket:
    return Bracket(
        number=int(row["bracket"]),
        leverage=int(row["initialLeverage"]),
        floor_e8=e8(row["notionalFloor"]),
        cap_e8=e8(row["notionalCap"]),
        rate_e8=e8(row["maintMarginRatio"]),
        cum_e8=e8(row["cum"]),
    )


def _fault(brackets: Sequence[Bracket]) -> str:
    if not brackets:
        return "there is no bracket"
    first = brackets[0]
    if first.floor_e8 or first.cum_e8:
        return (
            f"bracket {first.number} begins at {short_text(first.floor_e8)} with cum {short_text(first.cum_e8)}, not 0"
        )
    for bracket in brackets:
        if not (bracket.floor_e8 < bracket.cap_e8 and 0 < bracket.rate_e8 < E8 and bracket.leverage >= 1):
            return f"bracket {bracket.number} needs floor < cap, 0 < maintMarginRatio < 1 and initialLeverage from 1 on"
    for lower, upper in pairwise(brackets):
        if upper.floor_e8 != lower.cap_e8 or upper.rate_e8 < lower.rate_e8 or upper.leverage > lower.leverage:
            return f"bracket {upper.number} does not continue bracket {lower.number}"
        cum_e8 = lower.cum_e8 + upper.floor_e8 * (upper.rate_e8 - lower.rate_e8) // E8
        if abs(upper.cum_e8 - cum_e8) > _CONTINUOUS_E8:
            return (
                f"cum of bracket {upper.number} is {short_text(upper.cum_e8)}; the maintenance margin jumps there "
                f"unless it is {short_text(cum_e8)}"
            )
    return ""
