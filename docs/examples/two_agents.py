"""Two trained agents on one exchange: start `mm sim serve --scenario zero_intelligence > ready.json &` first."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

AGENTS = {"alice": "first.zip", "bob": "second.zip"}
ready = json.loads(Path("ready.json").read_text(encoding="utf-8"))
traders = []
for account in ready["accounts"]:
    name = account["name"]
    variables = {
        "SYMBOL": ready["symbol"],
        "WS_URL": ready["ws_url"],
        "REST_URL": ready["rest_url"],
        "WS_API_URL": ready["ws_api_url"],
        "BINANCE_API_KEY": account["api_key"],
        "BINANCE_API_SECRET": account["secret"],
        "WINDOW_START": "always",
        "QUOTE_MODEL": "rl",
        "QUOTE_PARAMS_JSON": json.dumps({"model_path": AGENTS[name]}),
        "DATA_ROOT": f"{name}/data",
        "OUT_ROOT": f"{name}/out",
    }
    command = [sys.executable, "-m", "mm", "trade", "--venue", "box"]
    traders.append(subprocess.Popen(command, env=os.environ | variables))


def trades(name: str) -> int:
    """Return the number of trades of an account."""
    with urlopen(f"{ready['rest_url']}/sim/account?user={name}") as answer:
        return len(json.load(answer)["trades"])


while min(map(trades, AGENTS)) < 10 and all(trader.poll() is None for trader in traders):
    time.sleep(1)
for trader in traders:
    trader.terminate()
sys.exit(max(trader.wait() for trader in traders))
