"""``mm trade`` as a process at an exchange in a box, and the exchange's own view of the account."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from decimal import Decimal
from itertools import cycle
from pathlib import Path

from serving import serving, signed
from support import ROOT

LONGEST_S = 240
STILL = {"FEED_STALE_S": "1000", "DEPTH_SILENCE_S": "1000"}  # for markets in which no other user trades
ENTRY = ("-m", "mm", "trade")


def host_of(folder):
    """Return the folder for temporary files of the processes that work in a folder."""
    temporary = Path(folder) / "host"
    temporary.mkdir(exist_ok=True)
    return temporary


class Venue:
    """One exchange in a box, and traders of one of its accounts.

    Attributes:
        folder: The folder of all traders, with data and results.
        ready: The line that the exchange printed.
        user: The name of the account.
        process: The exchange; None for one that is served otherwise.
    """

    def __init__(self, folder, ready, user="alice", process=None):
        self.folder, self.ready, self.user, self.process = Path(folder), ready, user, process
        self.url = ready["rest_url"]

    def variables(self, **more):
        own = next(one for one in self.ready["accounts"] if one["name"] == self.user)
        return {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(host_of(self.folder)),  # where a kill looks for traders: those of other boxes go on
            "SYMBOL": self.ready["symbol"],
            "VENUE": "box",
            "WS_URL": self.ready["ws_url"],
            "REST_URL": self.url,
            "WS_API_URL": self.ready["ws_api_url"],
            "BINANCE_API_KEY": own["api_key"],
            "BINANCE_API_SECRET": own["secret"],
            "WINDOW_START": "always",
            "LATENCY_THRESHOLD_MS": "60000",  # a busy machine is no reason to stop quoting
            **more,
        }

    def ed25519(self, path):
        """Write alice's private key to a file, and return the variables that sign with it."""
        path.touch(0o600)
        path.write_text(self.ready["accounts"][0]["ed25519_private_key"])
        return {"BINANCE_API_SECRET": "", "BINANCE_PRIVATE_KEY_FILE": str(path)}

    def run(self, *arguments, entry=("-m", "mm"), **variables):
        """Return the finished process of a command; Python runs *entry*."""
        return subprocess.run(
            [sys.executable, *entry, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.variables(**variables)},
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )

    @contextmanager
    def trader(self, *flags, entry=ENTRY, **variables):
        """Yield a running trader; if it still runs at the end it is killed. Python runs *entry*."""
        process = subprocess.Popen(
            [sys.executable, *entry, *flags],
            cwd=self.folder,
            env={**os.environ, **self.variables(**variables)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path, body):
        request = urllib.request.Request(f"{self.url}{path}", body.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{path} {body}: {refused.read().decode()}") from None

    def order(self, side, quantity, user="bob"):
        """Send a market order of another user, and return the exchange's answer."""
        terms = {"symbol": self.ready["symbol"], "side": side, "type": "MARKET", "quantity": quantity}
        return signed(self.ready, user, "POST", "order", **terms).json()

    def filled(self, fills, process):
        """Trade against a trader's quotes until it has some more fills, since a market may take long to do so."""
        known, sides = len(self.account()["trades"]), cycle(("SELL", "BUY"))

        def enough():
            if self.account()["openOrders"]:
                self.order(next(sides), "3")
            return len(self.account()["trades"]) >= known + fills

        self.until(enough, f"{fills} fills", process=process)

    def place_resting(self, side, price, quantity="5", user="bob"):
        """Place a resting order of another user, and return its number."""
        terms = {"symbol": self.ready["symbol"], "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        answer = signed(self.ready, user, "POST", "order", **terms, price=price, quantity=quantity).json()
        assert "orderId" in answer, answer
        return answer["orderId"]

    def cancel(self, order, user="bob"):
        """Cancel an order of that user."""
        signed(self.ready, user, "DELETE", "order", symbol=self.ready["symbol"], orderId=order)

    def account(self, since_us=0):
        """Return the exchange's own account: balances, open orders; orders, trades and requests since *since_us*."""
        return self.get(f"/sim/account?user={self.user}&timeUnit=MICROSECOND&since_us={since_us}")

    def sent(self):
        """Return how many orders a trader has sent; its guardian, which outlives a kill, only cancels."""
        methods = [one["method"] for one in self.account()["requests"]]
        return sum(any(word in method for word in ("place", "cancelReplace", "amend")) for method in methods)

    def until(self, condition, what, seconds=120, process=None):
        """Wait until *condition* returns a true value, and return it; *process* must run meanwhile.

        It polls less and less often, since its requests cost time of the exchange on a loaded machine.
        """
        ends, pause_s = time.monotonic() + seconds, 0.05
        while time.monotonic() < ends:
            found = condition()
            if found:
                return found
            if process is not None and process.poll() is not None:
                raise AssertionError(f"before {what} the trader ended: {process.communicate()}")
            time.sleep(pause_s)
            pause_s = min(0.25, pause_s * 1.2)
        log = ""
        if process is not None:
            process.kill()
            log = f"; the trader: {process.communicate()[1][-4000:]}"
        account = self.account()
        raise AssertionError(
            f"{what} did not happen within {seconds} s; {self.user}: now {account['now_us']}, "
            f"open {account['openOrders']}, last requests {account['requests'][-4:]}{log}"
        )

    def until_with_updates(self, condition, what, process):
        """Wait as `until` does, while bob places and cancels an order, since a silent market shows no change."""

        def check():
            self.cancel(self.place_resting("BUY", "99.50"))
            time.sleep(0.3)
            return condition()

        return self.until(check, what, process=process)

    def balance_change(self):
        """Return the change of position and cash of the account since the box created it."""
        held = {one["asset"]: Decimal(one["free"]) + Decimal(one["locked"]) for one in self.account()["balances"]}
        return held["SIM"] - 1_000, held["USDT"] - 1_000_000

    def logs(self):
        """Return the audit logs, the oldest first."""
        return sorted((self.folder / "out" / "audit" / self.ready["symbol"]).glob("*.ndjson"))

    def rows(self, type_=None):
        """Return the rows of all audit logs."""
        found = [json.loads(line) for path in self.logs() for line in path.read_text().splitlines()]
        return [row for row in found if type_ in (None, row["type"])]

    def folders(self):
        """Return the run folders of finished trades, the oldest first."""
        root = self.folder / "out" / "trade" / self.ready["symbol"]
        return sorted(path.parent for path in root.glob("*/run_manifest.json"))

    def table(self, name, folder=None):
        """Return the rows of a CSV of the last trade, or of that in *folder*."""
        with ((folder or self.folders()[-1]) / f"{name}_{self.ready['symbol']}.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@contextmanager
def venue(folder, *flags, **serving_terms):
    """Yield an exchange in a box for traders that work in *folder*."""
    with serving("--scenario", "zero_intelligence", "--seed", "7", *flags, **serving_terms) as (process, ready):
        yield Venue(folder, ready, process=process)


def ended(process, number=signal.SIGTERM, seconds=60):
    """Send a signal, and return exit code, output and the duration of the end, s."""
    began = time.monotonic()
    if number is not None:
        process.send_signal(number)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"not ended within {seconds} s: {process.communicate()[1][-4000:]}") from None
    return process.returncode, out + err, time.monotonic() - began


def page(port):
    """Return the lines of the metrics that a trader serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode().splitlines()
