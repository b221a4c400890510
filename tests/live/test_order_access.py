"""Client ids of orders, and the knobs of the gateway."""

import asyncio
import re

import pytest

from mm.base.knobs import knobs
from mm.errors import UsageError
from mm.live.account.background import BackgroundTasks
from mm.live.knobs import OrderAccess
from mm.live.orders.access import ClientIds
from mm.live.venues.canceller import is_ours


def test_client_ids_contain_counter_and_side() -> None:
    """They are valid at the exchange, and recognised as ours."""
    names = ClientIds("20260105T080000Z", b"x")
    first, second = names.next(+1), names.next(-1)
    assert first.endswith("-1b")
    assert second.endswith("-2s")
    assert first[:-2] == second[:-2]
    for name in (first, second):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,36}", name)
        assert is_ours(name)
    assert not is_ours("web_123")


def test_starts_never_share_client_ids() -> None:
    """Even with the same run id at the same instant."""
    assert len({ClientIds("same").next(+1) for _ in range(1_000)}) == 1_000


def test_gateway_knobs_have_variables_and_reject_invalid_text() -> None:
    """Their environment variables, and texts that they reject."""
    by_variable = {one.variable: one for one in knobs(OrderAccess)}
    assert set(by_variable) == {"WS_API_URL", "ORDER_TRANSPORT", "RECV_WINDOW_MS", "RECONCILE_INTERVAL_S", "ADOPT"}
    assert by_variable["WS_API_URL"].read("ws://127.0.0.1:5/ws-api/v3") == "ws://127.0.0.1:5/ws-api/v3"
    for variable, text in [("WS_API_URL", "http://x"), ("ORDER_TRANSPORT", "fix"), ("RECV_WINDOW_MS", "70000")]:
        with pytest.raises(UsageError):
            by_variable[variable].read(text)


def test_failed_task_is_reported_once() -> None:
    """A task that ends or is cancelled is not."""

    async def fails() -> None:
        raise OSError("gone")

    async def lasts() -> None:
        await asyncio.sleep(60)

    async def scenario() -> list[BaseException]:
        failed: list[BaseException] = []
        tasks = BackgroundTasks(failed.append)
        for work in (fails(), lasts(), asyncio.sleep(0)):
            tasks.spawn(work)
        await asyncio.sleep(0.01)
        await tasks.end()
        return failed

    (error,) = asyncio.run(scenario())
    assert str(error) == "gone"
