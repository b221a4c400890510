"""How ``mm trade`` ends: signals during its start, a full disk, the end of its window."""

import resource
import signal
import time

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with venue(tmp_path_factory.mktemp("ends"), *MARKET) as found:
        yield found


def starts(process):
    """Wait until a trader has written its first line: from there on signals end it in order."""
    return process.stderr.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait_s", [0.05, 0.3, 0.6])
def test_two_signals_at_any_moment_of_the_start_end_it_in_order(box, number, wait_s):
    with box.trader() as process:
        starts(process)
        time.sleep(wait_s)
        process.send_signal(number)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        code, output, seconds = ended(process, signal.SIGINT)
    assert code in (0, 75), output
    assert "unforeseen" not in output
    assert output.count("error:") == (code == 75)
    assert seconds < 8
    assert_equal_books(box)


def test_a_signal_while_the_gateway_cannot_connect_ends_it_at_once(box):
    with box.trader(WS_API_URL="ws://127.0.0.1:9/ws-api/v3") as process:
        logs = len(box.logs())
        box.until(lambda: len(box.logs()) > logs, "an audit log", process=process)
        code, output, seconds = ended(process)
    assert code == 75, output
    assert "before orders could be sent" in output
    assert seconds < 3


def test_sigusr1_while_it_starts_kills(tmp_path):
    with venue(tmp_path) as box, box.trader(WS_API_URL="ws://127.0.0.1:9/ws-api/v3") as process:
        box.until(box.logs, "an audit log", process=process)
        code, output, seconds = ended(process, signal.SIGUSR1)
        assert code == 5, output
        assert "mm risk rearm" in output
        assert seconds < 3
        assert box.run("trade").returncode == 5


def test_a_full_disk_under_the_audit_log_ends_the_orders(tmp_path):
    with venue(tmp_path, *MARKET) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            size = box.logs()[0].stat().st_size
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (max(size, 1), max(size, 1)))
            code, output, _ = ended(process, number=None, seconds=30)
        assert code == 75, output
        assert box.account()["openOrders"] == []
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert "audit log" in line
        with box.trader() as process:
            before = len(box.account()["requests"])
            box.until(lambda: len(box.account()["requests"]) > before + 2, "orders", process=process)
            assert ended(process)[0] == 0
        assert_equal_books(box)
