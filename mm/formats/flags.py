"""Boolean columns of tables: the words for true and false, and what true means, by the name of the column."""

import re
from collections.abc import Collection, Mapping

BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}
"""Words of boolean columns, in lower case."""
_SNAPSHOT = re.compile(r"snap|whole|full|partial")
_CHANGE = re.compile(r"delta|update|change|diff|increment")
_BUY = re.compile(r"buy|bid")
_SELL = re.compile(r"sell|ask|offer")


def are_flags(words: Collection[str]) -> bool:
    named = set(words) - {""}
    return bool(named) and named <= BOOLEANS.keys()


def true_is_whole_book(column: str) -> bool | None:
    """Rather than a change; None if the column's name does not tell."""
    whole, change = (bool(pattern.search(column.lower())) for pattern in (_SNAPSHOT, _CHANGE))
    return whole if whole != change else None


def side_of_true(column: str, *, is_maker: bool = False) -> int:
    """+1 for bids and buying aggressors; 0 if unknown.

    Args:
        is_maker: Whether the column is the maker's, a buying one unless the name says otherwise.
    """
    name = column.lower()
    buy, sell = bool(_BUY.search(name)), bool(_SELL.search(name))
    if buy == sell:
        return -1 if is_maker and not buy and "taker" not in name else 0
    of_maker = "maker" in name or (is_maker and "taker" not in name)
    return (1 if buy else -1) * (-1 if of_maker else 1)


def flags_by(meaning: Mapping[bool, object]) -> dict[str, object]:
    return {word: meaning[flag] for word, flag in BOOLEANS.items()}
