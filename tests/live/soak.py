"""Traders of two Spot symbols and of a perpetual, for hours, with random faults and kills; ends with a comparison.

    PYTHONPATH=.:tests:tests/live python tests/live/soak.py --hours 2 [--speeds 1 4] [--seed 1] [--keep FOLDER]

For the first half of the time all clocks run as they are, for the second four times as fast (`fast_clock.c`), also
those of the exchanges in a box. A fault of each exchange comes every --fault-s on average, a kill of each trader every
--kill-s: SIGKILL, SIGTERM, or SIGKILL of its guardian; a supervisor starts it anew. Then both are ended, and every unit
is compared with the exchange's: orders, fills, fees, payments, balances, positions; the audit logs are verified.
Memory, files and logs are printed by the hour. Exit code 1 if anything differs, rests, or ended as it should not.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

from test_trade_faults import FAULTS as OF_SPOT
from test_trade_symbols import SYMBOLS, Account
from test_trade_usdm_faults import FAULTS as OF_CONTRACTS
from trading_truth import SIGNS, booked, log_rows
from usdm_box import ContractBox

from serving import serving

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
LIMITS = {"QUOTE_QTY": "0.5", "MAX_POSITION": "5", "MAX_DAILY_LOSS": "100000", "MAX_ORDERS_PER_S": "20"}
AGAIN = (0, 75)
"""Exit codes after which a supervisor starts a trader anew; −9 is ours."""
LOOK_S, END_S, FIRST_MINUTES, MOST_LINES = 10.0, 120.0, 2, 100
ASKED_S, ASK_AGAIN_S = 600.0, 1.0
"""How long a question of ours to the exchange is repeated while it is not answered, and the pause before, in s."""
KILLS = {"trader": 5, "end": 3, "guardian": 2}
FIELDS = ("side", "order_id", "price", "qty", "commission", "commission_asset")
_Answer = TypeVar("_Answer")


def answered(ask: Callable[[], _Answer], within_s: float = ASKED_S) -> _Answer:
    """Ask until there is an answer: faults, and a busy machine, cut or delay our own questions to the exchange too."""
    ends_s = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except (OSError, HTTPException, ValueError):  # no connection, a cut answer, or one that is cut inside JSON
            if time.monotonic() >= ends_s:
                raise
        time.sleep(ASK_AGAIN_S)


def kin(pid: int) -> list[int]:
    """Return a process's children."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def memory_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def sizes(folder: Path) -> Counter[str]:
    """Return the number of files, and the bytes of audit logs, other logs, recordings, and of the rest below out."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            parts = path.relative_to(folder).parts
            kind = parts[2] if parts[2:3] in (("audit",), ("logs",)) else parts[1]
            found[kind] += path.stat().st_size
            found["files"] += 1
    return found


@dataclass
class Soaked:
    """One exchange, its trader, and what was seen of them.

    Attributes:
        grown_mb, lived_s: Growth of the trader's memory after its first minutes, and the time of that growth.
        wrong: What should not have been.
    """

    box: Account | ContractBox
    terms: dict[str, str]
    faults: list[str]
    chance: random.Random
    speed: float
    process: subprocess.Popen | None = None
    seen: Counter = field(default_factory=Counter)
    grown_mb: float = 0.0
    lived_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    begun_s: float = 0.0
    last: tuple[float, float] | None = None
    ours: int | None = None

    @property
    def symbols(self) -> list[str]:
        return self.terms["SYMBOL"].split(",")

    def of(self, symbol: str) -> Account | ContractBox:
        return self.box.of(symbol) if isinstance(self.box, Account) else self.box

    def start(self) -> None:
        """Start the trader; its output goes to a file, since nobody reads a pipe for hours."""
        with (self.box.folder / "trader.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mm", "trade"],
                cwd=self.box.folder,
                env={**os.environ, **self.box.variables(**self.terms)},
                stdout=log,
                stderr=log,
            )
        self.seen["starts"] += 1
        self.begun_s, self.last, self.ours = time.monotonic(), None, None

    def supervise(self) -> None:
        """Start it anew once it has ended; an end that nobody has caused is wrong."""
        assert self.process is not None
        code = self.process.poll()
        if code is None:
            return
        if code not in AGAIN and code != self.ours:
            self.wrong.append(f"ended with {code}: {self.tail()}")
        self.start()

    def tail(self) -> str:
        lines = (self.box.folder / "trader.log").read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if "error:" in line), "no error is in its log")

    def look(self) -> dict[str, float]:
        """Return memory, descriptors and whether orders rest."""
        assert self.process is not None
        pid, now_s = self.process.pid, time.monotonic()
        now_mb = memory_mb(pid)
        if now_mb and now_s - self.begun_s > 60 * FIRST_MINUTES / self.speed:
            if self.last is not None:
                self.grown_mb += now_mb - self.last[1]
                self.lived_s += now_s - self.last[0]
            self.last = now_s, now_mb
        self.seen["looks"] += 1
        self.seen["quoting"] += self.quotes()
        guardians = [memory_mb(one) for one in kin(pid)]
        return {"trader_mb": now_mb, "guardian_mb": max(guardians, default=0.0), "descriptors": descriptors(pid)}

    def account(self, symbol: str, since_us: int = 0, parts: str = "openOrders,orders,trades") -> dict:
        path = f"/sim/account?user={self.box.user}&symbol={symbol}&timeUnit=MICROSECOND&since_us={since_us}"
        return answered(lambda: self.box.get(f"{path}&parts={parts}"))

    def now_us(self) -> int:
        return answered(lambda: self.box.get("/sim/state"))["now_us"]

    def quotes(self) -> bool:
        """Whether an order rests in each symbol."""
        return all(self.account(symbol, parts="openOrders")["openOrders"] for symbol in self.symbols)

    def kill(self) -> None:
        """End the trader, or its guardian."""
        assert self.process is not None
        kind = self.chance.choices(list(KILLS), list(KILLS.values()))[0]
        if self.process.poll() is not None:
            return
        self.seen[f"kills of {kind}" if kind != "end" else "SIGTERM"] += 1
        if kind == "guardian":
            for one in kin(self.process.pid)[:1]:
                os.kill(one, signal.SIGKILL)
        elif kind == "end":
            self.process.terminate()
        else:
            self.ours = -signal.SIGKILL
            self.process.kill()

    def cause(self) -> None:
        """Let the exchange, or the line to it, fail once."""
        fault = f"at time 0 do {self.chance.choice(self.faults)}"
        answered(lambda: self.box.post("/sim/faults", fault))
        self.seen["faults"] += 1

    def finish(self) -> None:
        """Let the last faults pass, end the trader in order, and compare."""
        assert self.process is not None
        for _ in range(5):
            self._wait_for_quotes()
            self.process.terminate()
            try:
                code = self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wrong.append(f"not ended {END_S:g} s after SIGTERM")
                break
            if code == 0:
                break
            self.start()
        else:
            self.wrong.append(f"no end in order: {self.tail()}")
        self.wrong += self.differences()

    def _wait_for_quotes(self) -> None:
        until_s = time.monotonic() + END_S
        while time.monotonic() < until_s:
            self.supervise()
            if self.quotes():
                return
            time.sleep(0.5)
        self.wrong.append(f"no quotes within {END_S:g} s after the last fault")

    def differences(self) -> list[str]:
        """Verify the audit logs, and compare every unit with the exchange's."""
        found = []
        for symbol in self.symbols:
            box, account = self.of(symbol), self.account(symbol)
            rows, fills = log_rows(box), booked(box)
            found += [f"{symbol}: {what}" for what in compared(account, rows, fills)]
            self.seen["orders"] += len(account["orders"])
            self.seen["fills"] += len(fills)
            for path in box.logs():
                verified = box.run("audit", "verify", "--open", str(path), **self.terms)
                found += [f"{path.name}: {verified.stderr}"] if verified.returncode else []
            found += self._contract(account, rows) if isinstance(box, ContractBox) else []
        return found + ([] if isinstance(self.box, ContractBox) else self._balances())

    def _balances(self) -> list[str]:
        """Return what the fills of all symbols do not explain in the balances."""
        balances = self.account(self.symbols[0])["balances"]
        held = {one["asset"]: Decimal(one["free"]) + Decimal(one["locked"]) for one in balances}
        for symbol in self.symbols:
            for row in booked(self.of(symbol)).values():
                sign, qty, price = SIGNS[row["side"]], Decimal(row["qty"]), Decimal(row["price"])
                held[symbol.removesuffix("USDT")] -= sign * qty
                held["USDT"] += sign * qty * price
                held[row["commission_asset"]] += Decimal(row["commission"])
        begun = {"USDT": 1_000_000} | {symbol.removesuffix("USDT"): 1_000 for symbol in self.symbols}
        return [f"{asset}: {held[asset] - most} unexplained" for asset, most in begun.items() if held[asset] != most]

    def _contract(self, account: dict, rows: list[dict]) -> list[str]:
        """Return what differs in position, wallet, and payments until the last end."""
        assert isinstance(self.box, ContractBox)
        ended_us = [row["us"] for row in rows if row["type"] == "stop"][-1]
        due = Counter(
            Decimal(one["income"])
            for one in account["income"]
            if one["incomeType"] == "FUNDING_FEE" and one["time"] <= ended_us
        )
        paid = Counter(Decimal(row["amount"]) for row in rows if row["type"] == "payment")
        self.seen["payments"] += paid.total()
        found = [f"payments: {dict(paid - due)} too many, {dict(due - paid)} missing"] if paid != due else []
        later = sum(
            Decimal(one["income"])
            for one in account["income"]
            if one["incomeType"] == "FUNDING_FEE" and one["time"] > ended_us
        )
        position, wallet = self.box.booked()
        held, money = account["positions"][0]["positionAmt"], account["balances"][0]["balance"]
        theirs = Decimal(held), Decimal(money) - later - 1_000_000
        if (position, wallet) != theirs:
            found.append(f"position {position}, wallet {wallet}; the exchange has {theirs}")
        return found


def compared(account: dict, rows: list[dict], fills: dict[int, dict]) -> list[str]:
    """Return what differs between the exchange's account and the logs: orders, trades, what rests, the limit."""
    found = [f"an order rests: {one['clientOrderId']}" for one in account["openOrders"]]
    intended = {row["client_id"] for row in rows if row["type"] == "intent" and row["action"] != "cancel"}
    done: Counter = Counter()
    for row in fills.values():
        done[row["order_id"]] += Decimal(row["qty"])
    for order in account["orders"]:
        if order["clientOrderId"] not in intended:
            found.append(f"no log has the order {order['clientOrderId']}")
        if done[order["orderId"]] != Decimal(order["executedQty"]):
            found.append(f"order {order['orderId']}: {done[order['orderId']]} for {order['executedQty']}")
    theirs = {int(one["id"]): _fields(one) for one in account["trades"]}
    ours = {number: _own_fields(row) for number, row in fills.items()}
    wrong = [one for one in sorted(theirs.keys() | ours.keys()) if theirs.get(one) != ours.get(one)]
    found += [f"trade {one}: {ours.get(one)} for {theirs.get(one)}" for one in wrong]
    held = Decimal(0)
    for number, (side, _, _, qty, *_) in sorted(theirs.items()):
        held += SIGNS[side] * qty
        if abs(held) > Decimal(LIMITS["MAX_POSITION"]):
            found.append(f"trade {number}: a position of {held}, above {LIMITS['MAX_POSITION']}")
    return found


def _fields(trade: dict) -> tuple:
    """Return the fields of an exchange's trade that a row of a fill has too."""
    side = trade.get("side") or ("BUY" if trade["isBuyer"] else "SELL")
    numbers = (Decimal(trade[name]) for name in ("price", "qty", "commission"))
    return (side, trade["orderId"], *numbers, trade["commissionAsset"])


def _own_fields(row: dict) -> tuple:
    return tuple(Decimal(row[name]) if name in ("price", "qty", "commission") else row[name] for name in FIELDS)


def fast_clocks(folder: Path, speed: float) -> dict[str, str]:
    """Compile `fast_clock.c`, and return the variables of processes whose clocks run so fast from now on."""
    if speed == 1:
        return {}
    source, library = Path(__file__).with_name("fast_clock.c"), folder.with_suffix(".so")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    clocks = time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME
    instants = ":".join(str(time.clock_gettime_ns(one)) for one in clocks)
    return {"FAST_CLOCK": f"{speed:g}:{instants}", "LD_PRELOAD": str(library)}


def soak(folder: Path, hours: float, speed: float, every: tuple[float, float], seed: int) -> list[str]:
    """Let both trade for *hours* of wall time at a speed, print what they grow by, and return what is wrong.

    Args:
        folder: Of both traders and their files.
        hours: Wall time.
        speed: Of all clocks.
        every: Mean time between two faults of an exchange, and two kills of a trader, in s of these clocks.
        seed: Of markets, faults and kills.
    """
    fast = fast_clocks(folder, speed)
    chance, wall_s = random.Random(seed), hours * 3600
    terms = {"longest_s": wall_s + 1200, "LOG_LEVEL": "CRITICAL", **fast}
    spot_flags = ("--symbol", ",".join(SYMBOLS), "--seed", str(seed))
    funded = ("--market", "usdm", "--seed", str(seed + 1), "--funding-interval-s", "300", "--funding-rate", "0.0001")
    with ExitStack() as stack:
        both = []
        for name, kind, flags, faults in (
            ("spot", Account, spot_flags, OF_SPOT),
            ("usdm", ContractBox, funded, OF_CONTRACTS),
        ):
            process, ready = stack.enter_context(serving(*MARKET, *flags, **terms))
            (folder / name).mkdir()
            own = {**LIMITS, **fast, "SYMBOL": ready["symbol"] if kind is ContractBox else ",".join(SYMBOLS)}
            both.append(Soaked(kind(folder / name, ready, process=process), own, faults, chance, speed))
        for one in both:
            one.start()
            stack.callback(_end, one)
        _let_trade(both, folder, wall_s, every)
        for one in both:
            one.finish()
    for one in both:
        grown = round(one.grown_mb / (one.lived_s * speed / 3600), 2) if one.lived_s > 0 else None
        seen = {"of": one.box.folder.name, "MB_an_hour_of_one_process": grown, **dict(sorted(one.seen.items()))}
        print(json.dumps(seen), flush=True)
    return [f"{one.box.folder.name}: {what}" for one in both for what in one.wrong]


def _end(one: Soaked) -> None:
    assert one.process is not None
    if one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def _let_trade(both: list[Soaked], folder: Path, wall_s: float, every: tuple[float, float]) -> None:
    """Cause faults and kills until the time has passed."""
    speed, chance = both[0].speed, both[0].chance
    begun_s = time.monotonic()
    ends_s, line_s = begun_s + wall_s, min(3600.0, wall_s * speed / 4) / speed
    actions = [
        (action, mean_s / speed) for one in both for action, mean_s in ((one.cause, every[0]), (one.kill, every[1]))
    ]
    due = [begun_s + 60 / speed + chance.expovariate(1 / mean_s) for _, mean_s in actions]
    look_s, next_line_s, most = begun_s, begun_s + line_s, dict[str, float]()
    while time.monotonic() < ends_s:
        now_s = time.monotonic()
        for number, (action, mean_s) in enumerate(actions):
            if now_s >= due[number]:
                action()
                due[number] = now_s + chance.expovariate(1 / mean_s)
        for one in both:
            one.supervise()
        if now_s >= look_s:
            look_s = now_s + LOOK_S / speed
            for one in both:
                for name, value in one.look().items():
                    key = f"{one.box.folder.name} {name}"
                    most[key] = max(most.get(key, 0.0), value)
        if now_s >= next_line_s:
            next_line_s += line_s
            size = sizes(folder)
            line = {"hour": round((now_s - begun_s) * speed / 3600, 2)} | {name: round(most[name], 1) for name in most}
            line |= {f"{name}_mb": round(size[name] / 1e6, 1) for name in ("audit", "logs", "data", "out")}
            print(json.dumps(line | {"files": size["files"]}), flush=True)
            most = {}
        time.sleep(0.2 / speed)


def main() -> int:
    """Soak in real time, then with fast clocks; print what was seen, and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0, help="wall time in all")
    parser.add_argument("--speeds", type=float, nargs="+", default=[1.0, 4.0], help="of all clocks, each for its share")
    parser.add_argument("--fault-s", type=float, default=30.0, help="mean time between two faults of an exchange")
    parser.add_argument("--kill-s", type=float, default=600.0, help="mean time between two kills of a trader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for all files, instead of a temporary one")
    chosen = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        hours = chosen.hours / len(chosen.speeds)
        for speed in chosen.speeds:
            print(json.dumps({"speed": speed, "hours": hours, "seed": chosen.seed}), flush=True)
            folder = (chosen.keep or Path(place)) / f"speed_{speed:g}"
            folder.mkdir(parents=True)
            found = soak(folder, hours, speed, (chosen.fault_s, chosen.kill_s), chosen.seed)
            wrong += found
    print("\n".join(wrong[:MOST_LINES]) or "nothing differs, nothing rests")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
