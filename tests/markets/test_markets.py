"""A market is declared once: its facts are attributes, and no other module asks for its name."""

import ast
from pathlib import Path

import pytest

from mm.errors import UsageError
from mm.markets.feed import feed_of
from mm.markets.market import Market, Markets, load
from mm.markets.registry import MARKETS

ROOT = Path(__file__).parents[2]
OWN = ("mm/markets/", "mm/live/venues/", "mm/sim/wire/")
"""Where a market is written out: its declaration and feed, its account, its exchange in a box."""
ARCHIVES = ("mm/formats/published.py", "mm/formats/bybit.py", "mm/market_data/samples.py", "mm/commands/data.py")
"""What serves one exchange's published files."""
OTHER_NAMES = ("mm/formats/contracts.py",)
"""Where a vendor's names of exchanges stand, one of which is a market's name."""
NAMES = {MARKETS[name].name for name in MARKETS} | {MARKETS[name].venue for name in MARKETS}


def names_in(path):
    """Return the lines of a module that compare with a market's name, or key by one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            values = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            values = [key for key in node.keys if key]
        else:
            continue
        if any(isinstance(value, ast.Constant) and value.value in NAMES for value in values):
            yield node.lineno


def imports_of(path):
    """Return the lines that import the declaration of a single market."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and (node.module + ".").startswith(("mm.markets.binance.", "mm.markets.bybit."))
        ):
            yield node.lineno


def test_no_room_asks_for_the_name_of_a_market():
    """What a market is like is an attribute: a new one is a declaration, not a search for two dozen comparisons."""
    found = []
    for path in sorted((ROOT / "mm").rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(OWN) or place in (*ARCHIVES, *OTHER_NAMES):
            continue
        found += [f"{place}:{line}" for line in (*names_in(path), *imports_of(path))]
    assert not found


def test_pattern_finds_a_comparison_and_a_table(tmp_path):
    """The rule above notices what it is for."""
    module = tmp_path / "a.py"
    module.write_text('from mm.markets.binance import SPOT\nif market == "usdm":\n    x = {"spot": 1}\n')
    assert [*names_in(module)] == [2, 3]
    assert [*imports_of(module)] == [1]


@pytest.mark.parametrize("name", [*MARKETS])
def test_market_is_found_by_name_and_by_venue(name):
    """A knob and a day's schema name the same object, and its feed knows it."""
    market = MARKETS[name]
    assert MARKETS.of_venue(market.venue) is market
    assert feed_of(market).market is market
    for address in (market.account_at, market.box_at):
        assert address is None or callable(load(address))


def test_unknown_market_is_an_error_with_the_known_ones():
    """An unknown market is never taken for Spot or for USD-M."""
    with pytest.raises(UsageError, match=", ".join(MARKETS)):
        MARKETS["kraken"]
    with pytest.raises(UsageError, match="binance-spot"):
        MARKETS.of_venue("kraken-spot")


def test_market_of_ones_own_is_added_once():
    """A second market of the same name or venue would make days ambiguous."""
    own = Market(name="acme", venue="acme-spot", title="Acme", feed_at="nowhere:FEED")
    markets = Markets(own)
    assert markets["acme"] is own
    assert [*markets] == ["acme"]
    for name, venue in (("acme", "other"), ("other", "acme-spot")):
        with pytest.raises(UsageError, match="taken"):
            markets.add(Market(name=name, venue=venue, title="Acme", feed_at="nowhere:FEED"))
    assert markets.add(Market(name="b", venue="b-spot", title="B", feed_at="nowhere:FEED")) is markets["b"]
