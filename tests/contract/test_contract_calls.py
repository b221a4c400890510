"""A hundred calls of ccxt and of python-binance, unmodified but for their addresses, on both markets of the box."""

import asyncio
import json
import warnings
from collections.abc import Iterator

import pytest
from call_runs import REQUESTS, RUNS, run_calls

pytestmark = pytest.mark.usefixtures("collected_sockets")


@pytest.fixture(scope="module", autouse=True)
def _clients() -> Iterator[None]:
    """Import the clients, which takes seconds that every worker would spend at collection."""
    with warnings.catch_warnings():  # python-binance imports the legacy API of websockets
        warnings.filterwarnings("ignore", module="websockets|binance", category=DeprecationWarning)
        for name in ("ccxt", "binance"):
            pytest.importorskip(name)
        yield


@pytest.mark.parametrize(("client", "market"), RUNS)
def test_every_call_is_answered_as_expected(client: str, market: str) -> None:
    """With an answer that the client can read, or the documented code."""
    outcomes, requests = asyncio.run(run_calls(client, market))
    assert [(name, code) for name, code, _ in outcomes] == [(name, expected) for name, _, expected in outcomes]
    kept = {(method, path) for method, path, *_ in json.loads(REQUESTS.read_text())[f"{client}_{market}"]}
    sent = {(method, path) for method, path, *_ in requests}
    assert sent == kept, "the client sends others than before: run tests/contract/call_runs.py"
