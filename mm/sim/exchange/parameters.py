"""What a request asks for, read from text as the exchange reads it: its own errors for what it cannot use."""

import json
import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from mm.clock import US_PER_MS
from mm.instrument import E8
from mm.sim.exchange import api_error
from mm.sim.exchange.api_error import ApiError

_INT64 = 2**63 - 1
_WHOLE = "^[0-9]{1,20}$"
_DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_SYMBOL = "^[A-Z0-9-_.]{1,20}$"
_CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"
_MICROSECONDS = 10**14
"""From here on an instant is in µs: in ms it would lie in the year 5138."""
_PLACES = 8

Value = TypeVar("Value")


class Parameters:
    """The parameters of one request, by name.

    Args:
        given: As decoded.
        symbol: The only symbol that the exchange knows.
    """

    def __init__(self, given: Mapping[str, str], symbol: str) -> None:
        self.given = given
        self._symbol = symbol

    def check_names(self, known: Collection[str]) -> None:
        """Raise ApiError where there are more parameters than an endpoint has, others, or empty ones."""
        read = sum(name in known for name in self.given)
        sent = len(self.given)
        if sent > len(known):
            raise ApiError(-1101, f"Too many parameters; expected '{len(known)}' and received '{sent}'.")
        if read < sent:
            raise ApiError(
                -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
            )
        for name, text in self.given.items():
            if not text:
                raise ApiError(-1105, f"Parameter '{name}' was empty.")

    def text(self, name: str, legal: str = "") -> str:
        """Return a parameter's text, empty if it was not sent; raises ApiError where it has not the *legal* form."""
        text = self.given.get(name, "")
        if text and legal and not re.fullmatch(legal, text.replace("\n", " "), re.ASCII):
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
        return text

    def must(self, name: str) -> str:
        """Return a parameter's text; raises ApiError where it was not sent."""
        text = self.text(name)
        if not text:
            raise api_error.mandatory(name)
        return text

    def whole(self, name: str) -> int | None:
        """Return a whole number from 0 on, None if it was not sent."""
        text = self.text(name, _WHOLE)
        if text and int(text) > _INT64:
            raise _overflow(name)
        return int(text) if text else None

    def decimal_e8(self, name: str) -> int | None:
        """Return a decimal in 1e-8, None if it was not sent."""
        text = self.text(name, _DECIMAL)
        if not text:
            return None
        whole, _, places = text.partition(".")
        if len(places.rstrip("0")) > _PLACES:
            raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
        value = int(whole) * E8 + int(places[:_PLACES].ljust(_PLACES, "0"))
        if value > _INT64:
            raise _overflow(name)
        return value

    def needs_e8(self, name: str) -> int:
        """Return a decimal in 1e-8; raises ApiError where it was not sent."""
        value = self.decimal_e8(name)
        if value is None:
            raise api_error.mandatory(name)
        return value

    def instant_us(self, name: str, *, last: bool = False) -> int | None:
        """Return an instant, sent in ms or in µs, in µs: of a ms its first, or its *last*; None if it was not sent."""
        stamp = self.whole(name)
        if stamp is None or stamp >= _MICROSECONDS:
            return stamp
        return stamp * US_PER_MS + (US_PER_MS - 1 if last else 0)

    def one_of(self, name: str, values: Mapping[str, Value], error: ApiError) -> Value:
        """Return the value of one word of several; raises *error* where it is another."""
        text = self.must(name)
        if text not in values:
            raise error
        return values[text]

    def word(self, name: str, words: Collection[str], default: str) -> str:
        """Return one word of several, *default* if it was not sent."""
        text = self.text(name) or default
        if text not in words and text != default:
            raise api_error.not_valid(name)
        return text

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean, *default* if it was not sent."""
        return self.word(name, ("true", "false"), "true" if default else "false") == "true"

    def limit(self, default: int, most: int) -> int:
        """Return how many entries are asked for: at most *most*, *default* if it was not sent."""
        limit = self.whole("limit")
        if limit == 0:
            raise api_error.not_valid("limit")
        return min(default if limit is None else limit, most)

    def symbol(self) -> str:
        """Return the symbol; raises ApiError where it was not sent or the exchange does not know it."""
        self.must("symbol")
        if self.text("symbol", _SYMBOL) != self._symbol:
            raise ApiError(-1121, "Invalid symbol.")
        return self._symbol

    def is_for_all(self) -> bool:
        """Check the optional ``symbol`` or ``symbols``, and return whether an answer is to be a list."""
        if "symbol" in self.given and "symbols" in self.given:
            raise api_error.bad_combination()
        if "symbols" in self.given:
            self._check_symbols()
            return True
        if "symbol" in self.given:
            self.symbol()
            return False
        return True

    def client_id(self, name: str) -> str:
        """Return a user's name for an order, empty if it was not sent."""
        return self.text(name, _CLIENT_ID)

    def _check_symbols(self) -> None:
        try:
            symbols = json.loads(self.given["symbols"])
        except (ValueError, RecursionError):
            symbols = None
        if not isinstance(symbols, list) or not symbols or not all(isinstance(one, str) for one in symbols):
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'; legal range is '^\\[\".*\"\\]$'.")
        if any(one != self._symbol for one in symbols):
            raise ApiError(-1121, "Invalid symbol.")
        if len(set(symbols)) < len(symbols):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")


def _overflow(name: str) -> ApiError:
    return ApiError(-1108, f"Parameter '{name}' overflowed.")
