"""The mission's printed tree: each of its modules imports, and each name of a related project is in one table."""

import re
from importlib import import_module

import pytest

from support import ROOT, SHARED

TREE = {
    "mm/market_data": "recorder sync_engine local_orderbook buffered_writer ws_stream snapshot",
    "mm/calibration": "runner_calibration exposure poisson_fit quotes",
    "mm/backtest": "replay paper_exchange io fills quotes",
}
MODULES = [f"{folder}/{name}" for folder, names in TREE.items() for name in names.split()]
NAMES = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8").partition("## Names of related projects")[2]
THERE = (
    "AvellanedaStoikovPricer BinanceConnector QuoteManager RiskManager BacktestConfig QuoteParameters TradingConfig "
    "RiskConfig LimitOrderBook PerformanceMetrics run_parameter_sweep() analyze_results() generate_synthetic_ticks() "
    "run_replay() update_market() compute_quotes() parameter_grid initial_capital time_horizon ewma_alpha "
    "run_dashboard.py signal_handler.py state_store.py postgres.py rest.py model_base.py schemas.py quote_manager.py "
    "deploy_vps.sh setup-dev.sh start_dashboard.sh lob_env.py trading_interface.py short_term_predictor.py "
    "--half-spread --quote-interval --data-source --model-path --save-path --client-id --api-secret --start-date "
    "/order /cancel/{order_id} /book /fills/{client_id} /risk/{client_id} /ws/md /ws/fills/{client_id}"
)


@pytest.mark.parametrize("path", MODULES)
def test_module_of_the_printed_tree_imports(path: str) -> None:
    """Programs written against the mission import these names."""
    assert import_module(path.replace("/", ".")).__doc__


@pytest.mark.skipif(not SHARED.exists(), reason="needs the core document in ../shared")
def test_modules_are_those_of_the_core_document() -> None:
    """Every Python file and folder of the three packages is in the list above."""
    text = (SHARED / "spec" / "core_avellaneda_stoikov_pipeline.md").read_text(encoding="utf-8")
    drawn = text.partition("├── mm/")[2].partition("├── tests/")[0]
    folder, found = "", []
    for depth, name in re.findall(r"^(\W*)(\w+)(?:/|\.py)$", drawn, re.MULTILINE):
        if len(depth) < 10:
            folder = name
        else:
            found.append(f"mm/{folder}/{name}")
    assert found == MODULES


@pytest.mark.parametrize("name", THERE.split())
def test_name_of_a_related_project_is_in_the_table(name: str) -> None:
    """Whoever comes from there looks for the name he knows."""
    assert re.search(rf"(?<![a-z_]){re.escape(name)}(?!\w)", NAMES)


def test_places_of_the_table_exist() -> None:
    """What stands on the right of a row is here."""
    rows = re.findall(r"^\| .+ \| (.+) \|$", NAMES, re.MULTILINE)
    places = {place for row in rows for place in re.findall(r"`((?:mm|docs|tests)/[\w./]*)`", row)}
    assert len(places) > 20
    assert {place for place in places if not (ROOT / place).exists()} == set()
