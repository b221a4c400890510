"""Days and runs for the pages, made once by the program itself."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import run_mm

AppTest = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed: [dashboard]").AppTest
TAKEN = ("uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error", "websockets")


def reset_loggers() -> None:
    """Undo what streamlit does to the loggers of packages that other tests capture."""
    for name in TAKEN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


reset_loggers()
SYMBOL, DAY = "SIMUSDT", "20260105"
PLACE = ("--symbol", SYMBOL, "--day", DAY)
MADE = (
    ("sim", "day", *PLACE, "--hours", "0.5", "--seed", "7", "--scenario", "poisson"),
    ("backtest", *PLACE, "--run-id", "base", "--sensitivity=0"),
    ("backtest", *PLACE, "--run-id", "wide", "--sensitivity=0", "--quote-model", "fixed_spread",
     "--quote-params-json", '{"delta_ticks": 3}'),
    ("sweep", *PLACE, "--run-id", "grid", "--grid", "GAMMA=0.01,1", "--grid", "ORDER_LATENCY_MS=10,200", "--jobs", "1"),
    ("calibrate", *PLACE, "--run-id", "fitted"),
    ("schedule", *PLACE, "--run-id", "rolling", "--wf-train-window-min", "10", "--wf-step-min", "5"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """Restore loggers and the main module: streamlit runs a page as ``__main__``, which child processes import."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
    reset_loggers()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and ``out``; tests that change something copy it."""
    home = tmp_path_factory.mktemp("dashboard")
    for words in MADE:
        done = run_mm(*words, cwd=home)
        assert done.returncode == 0, done.stderr
    return home


def drawn(page: str, data_root: str, out_root: str) -> None:
    """Draw one page; streamlit runs the source of this function."""
    from importlib import import_module
    from pathlib import Path

    from mm.dashboard.sources import Folders

    import_module(f"mm.dashboard.{page}").show(Folders(Path(data_root), Path(out_root)))


@pytest.fixture
def opened(made: Path) -> Callable[..., Any]:
    """Open a page of a folder, that of `made` by default, with query parameters."""
    import streamlit as st

    st.cache_data.clear()
    st.cache_resource.clear()

    def open_page(page: str, home: Path = made, **query: str) -> Any:
        at = AppTest.from_function(drawn, args=(page, str(home / "data"), str(home / "out")), default_timeout=60)
        for name, value in query.items():
            at.query_params[name] = value
        return at.run()

    return open_page
