"""Note workers that crash: what they ran may pass when it is run again, and is no flaky test."""

from typing import Any

import pytest

CRASHED = "mm/crashed"
"""Key in pytest's cache of the crashes of the last run, each as text."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Keep the crash of a worker in the cache, which `.ci/run` reads."""
    if error:
        cache = node.config.cache
        cache.set(CRASHED, [*cache.get(CRASHED, []), f"{node.gateway.id}: {error}"])
