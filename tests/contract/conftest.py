"""What tests of the contract share: the `lab` of a session, and the ends of client libraries."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Lab:
    """Return a folder that all test processes share, so that each command runs once."""
    base: Path = tmp_path_factory.getbasetemp()
    return Lab((base.parent if hasattr(request.config, "workerinput") else base) / "laboratory")


@pytest.fixture
def collected_sockets() -> Iterator[None]:
    """Collect the sockets that a client leaves open, which else warn of it in whatever test comes next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Return a function that registers ccxt clients, whose sessions are closed after the test."""
    with ExitStack() as stack:

        def register(client: Any) -> Any:
            stack.callback(client.session.close)
            return client

        yield register
