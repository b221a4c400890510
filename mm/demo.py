"""``make demo``: the whole way on a synthetic day whose truth is known, by the very commands of the README."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

SYMBOL, DAY = "SIMUSDT", "20260105"
ROOT = Path("out/demo")
DATA = ROOT / "data"
HOURS = 6


def main() -> None:
    """Make the day, calibrate, backtest, walk forward, and tell what was found."""
    truth = _truth()
    fit = _mm("calibrate", "--method", "marks")
    backtest = _mm("backtest", FILL_MODEL="poisson", FILL_PARAMS_FILE=_near(fit["path"]), INITIAL_INVENTORY="5")
    forward = _mm("walkforward", "--wf-train-window-min", "60", INITIAL_INVENTORY="5")
    print(_table(truth, fit, backtest, forward))


def _truth() -> dict[str, Any]:
    """Return the truth of the synthetic day; a day that a former demo made is taken as it is."""
    kept = DATA / SYMBOL / DAY / "truth.json"
    if kept.exists():
        print(f"{kept.parent} is there from a former demo")
        return dict(json.loads(kept.read_text(encoding="utf-8"))) | {"path": str(kept)}
    return _mm("sim", "day", "--hours", str(HOURS), "--seed", "7", "--scenario", "poisson")


def _mm(*words: str, **variables: str) -> dict[str, Any]:
    """Run one command of the project and return its main artefact."""
    flags = ["--symbol", SYMBOL, "--day", DAY, "--data-root", str(DATA)]
    if words[0] != "sim":
        flags += ["--out-root", str(ROOT)]
    settings = [f"{name}={value}" for name, value in variables.items()]
    print("$", shlex.join([*settings, "mm", *words, *flags]), flush=True)
    command = ["env", *settings, sys.executable, "-m", "mm", *words, *flags, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"demo: the command above ended with {done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _table(truth: dict[str, Any], fit: dict[str, Any], backtest: dict[str, Any], forward: dict[str, Any]) -> str:
    """Return what was found, beside what is true."""
    segments = json.loads((Path(forward["path"]).parent.parent / "poisson_schedule.json").read_text())["segments"]
    usable = [segment for segment in segments if segment["usable"]]
    lines = [
        "",
        f"{'':<22}{'truth':>10}{'found':>12}   95 % interval",
        _row("A, fills per second", truth["A"], fit["A"], fit["ci95_A"]),
        _row("k, per tick", truth["k"], fit["k"], fit["ci95_k"]),
        f"{'fit':<22}{'':>10}{fit['status']:>12}   {fit['n_fills']} aggressive orders",
        "",
        f"{'':<22}{'backtest':>10}{'walk-forward':>14}",
        _pair("orders", backtest["n_orders"], forward["n_orders"], ",d"),
        _pair("fills", backtest["n_fills"], forward["n_fills"], ",d"),
        _pair("fills expected", backtest["predicted_fills"], forward["predicted_fills"], ",.1f"),
        _pair("PnL", backtest["pnl_total"], forward["pnl_total"], ",.2f"),
        _pair("  spread capture", backtest["pnl_spread_capture"], forward["pnl_spread_capture"], ",.2f"),
        _pair("  inventory", backtest["pnl_inventory"], forward["pnl_inventory"], ",.2f"),
        _pair("  fees", -backtest["fees"], -forward["fees"], ",.2f"),
        f"{'usable segments':<22}{'':>10}{f'{len(usable)} of {len(segments)}':>14}",
        "",
        "Fills drawn from an intensity know no adverse selection: their PnL is an upper bound.",
        "",
        *(f"{name:<14}{_near(path)}" for name, path in _places(truth, fit, backtest, forward)),
    ]
    return "\n".join(lines)


def _row(name: str, truth: float, found: float, interval: tuple[float, float]) -> str:
    low, high = interval
    verdict = "holds the truth" if low <= truth <= high else "misses the truth, as 1 in 20 does"
    return f"{name:<22}{truth:>10.4f}{found:>12.4f}   {low:.4f} to {high:.4f}, {verdict}"


def _pair(name: str, first: float, second: float, form: str) -> str:
    return f"{name:<22}{first:>10{form}}{second:>14{form}}"


def _places(
    truth: dict[str, Any], fit: dict[str, Any], backtest: dict[str, Any], forward: dict[str, Any]
) -> list[tuple[str, str]]:
    def folder(artefact: dict[str, Any]) -> Path:
        return Path(artefact["path"]).parent

    return [
        ("the day", str(folder(truth))),
        ("the fit", str(fit["path"])),
        ("backtest", str(folder(backtest) / "report.html")),
        ("walk-forward", str(folder(forward) / "report.html")),
    ]


def _near(path: str) -> str:
    """Return *path* as seen from here, where it lies below."""
    here, there = Path.cwd(), Path(path).resolve()
    return str(there.relative_to(here) if there.is_relative_to(here) else there)


if __name__ == "__main__":
    main()
