"""``mm compare``: a replay, a shadow and a trade side by side, as a table, as JSON and as one page."""

from dataclasses import asdict
from pathlib import Path

from mm.cli.console import Console
from mm.live.pages.compare import compare_runs, read_run
from mm.live.pages.compare_page import comparison_page, comparison_text
from mm.play.knobs import Results
from mm.runs.find import open_run
from mm.runs.plan import new_page


def main(console: Console, results: Results, runs: tuple[str, ...], out: str | None) -> None:
    """Compare a replay, a shadow and a trade of one strategy, order by order; the first is the reference."""

    read = [read_run(open_run(name, results.out_root)) for name in runs]
    found = compare_runs(read)
    path = Path(out) if out else new_page(results.out_root / "compare" / found.symbol)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(comparison_page(found, read), encoding="utf-8")
    console.print(comparison_text(found))
    console.print(str(path))
    console.set_json({**asdict(found), "path": str(path)})
