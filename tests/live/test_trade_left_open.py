"""Every end empties the exchange, whatever the exchange or the disk refuses meanwhile, and says what it waits for."""

import errno
import signal
import time

import pytest
from test_trade_hangs import MODEL
from trading_box import ended, venue

from serving import signed

pytestmark = pytest.mark.slow
BOTH = "SIMUSDT,BOXUSDT"
BLOCKED = (
    "status code={code} retry_after=6 path=order.cancel\nat time 0 do status code={code} retry_after=6 path=/api/v3/o"
)


def left(box, symbols):
    """Return the client ids of the user's open orders of symbols."""
    listed = [signed(box.ready, box.user, "GET", "openOrders", symbol=one).json() for one in symbols.split(",")]
    return [one["clientOrderId"] for orders in listed for one in orders]


@pytest.mark.parametrize("symbols", ["SIMUSDT", BOTH])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize(
    "fault",
    [
        BLOCKED.format(code=418),
        BLOCKED.format(code=429),
        "restart books=kept for_s=7",
        "half_open of=user",
        "ack_lost n=3 path=order.cancel undone=1",
    ],
    ids=["418", "429", "outage", "half_open", "lost"],
)
def test_end_waits_until_nothing_is_open(tmp_path, symbols, number, fault):
    with venue(tmp_path, "--symbol", symbols) as box:
        with box.trader(**MODEL, SYMBOL=symbols) as process:
            box.until(lambda: len(left(box, "SIMUSDT")) == 2, "orders", process=process)
            box.post("/sim/faults", f"at time 0 do {fault}")
            code, output, seconds = ended(process, number, seconds=120)
        assert code == (0 if number == signal.SIGTERM else 5), output
        assert left(box, symbols) == []
        if seconds > 6:
            (first, *_) = [line for line in output.splitlines() if "orders_left_open" in line]
            assert "mm-" in first
            assert " at 9" in first or " at 10" in first


WRITES = """
import os, sys
from pathlib import Path

flag, root = Path(sys.argv.pop(1)), os.path.realpath(sys.argv.pop(1))

def refuse(name, places):
    real = getattr(os, name)

    def call(*given, **named):
        if flag.exists() and any(under(given[at]) for at in places):
            raise OSError({errno}, os.strerror({errno}))
        return real(*given, **named)

    setattr(os, name, call)

def under(place):
    try:
        path = os.readlink(f"/proc/self/fd/{{place}}") if isinstance(place, int) else os.fspath(place)
    except OSError:
        return False
    return os.path.realpath(path).startswith(root)

real_open = os.open
def opened(path, flags, *more, **named):
    if flag.exists() and flags & (os.O_WRONLY | os.O_RDWR) and under(path):
        raise OSError({errno}, os.strerror({errno}))
    return real_open(path, flags, *more, **named)
os.open = opened
for name, places in dict(
    write=(0,), pwrite=(0,), fsync=(0,), fdatasync=(0,), mkdir=(0,), rename=(0,), replace=(0,), link=(0,)
).items():
    refuse(name, places)

import io
real = io.open
def io_open(file, mode="r", *more, **named):
    if flag.exists() and set(mode) & set("wax+") and under(file):
        raise OSError({errno}, os.strerror({errno}))
    return real(file, mode, *more, **named)
io.open = io_open
import builtins
builtins.open = io_open

from mm.__main__ import main
main(["trade"])
"""


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGUSR1])
def test_disk_that_refuses_every_write_is_emptied_of_orders_first(tmp_path, number, end):
    flag, out = tmp_path / "flag", tmp_path / "out"
    entry = ("-c", WRITES.format(errno=number), str(flag), str(out))
    with venue(tmp_path) as box:
        with box.trader(entry=entry, **MODEL, AUDIT_SYNC="1") as process:
            box.until(lambda: len(left(box, "SIMUSDT")) == 2, "orders", process=process)
            flag.touch()
            time.sleep(0.1)
            code, output, _ = ended(process, end, seconds=60)
        assert code in ((5, 75) if end == signal.SIGUSR1 else (75,)), output  # it may have ended before the kill
        assert left(box, "SIMUSDT") == []


def test_trader_that_is_killed_while_the_exchange_is_away_is_emptied_afterwards(tmp_path):
    with venue(tmp_path) as box:
        with box.trader(**MODEL) as process:
            box.until(lambda: len(left(box, "SIMUSDT")) == 2, "orders", process=process)
            box.post("/sim/faults", "at time 0 do restart books=kept for_s=3")
            process.kill()
            process.communicate()
        time.sleep(3)
        box.until(lambda: not left(box, "SIMUSDT"), "an empty exchange", 60)


def test_orders_whose_ends_are_not_told_are_named_but_not_as_open(tmp_path):
    """The exchange lists none: the end is 0, no alert fires, and the next start learns what became of them."""
    rules = ("stall of=user", "ack_lost n=2 path=order.cancel", "error code=-1000 n=0 path=order.status")
    with venue(tmp_path) as box:
        with box.trader(**MODEL, REQUOTE_INTERVAL_MS="600000") as process:
            box.until(lambda: len(left(box, "SIMUSDT")) == 2, "orders", process=process)
            box.post("/sim/faults", "\n".join(f"at time 0 do {rule}" for rule in rules))
            code, output, _ = ended(process)
        assert (code, left(box, "SIMUSDT")) == (0, []), output
        (line,) = [text for text in output.splitlines() if "orders_unresolved" in text]
        assert "mm-" in line
        looked = box.run("watchdog", "--once")
        assert "left open" not in looked.stdout + looked.stderr
        assert looked.returncode == 0, looked.stdout
    (log,) = box.logs()
    assert sum('"type":"cancel"' in row for row in log.read_text().splitlines()) == 0
