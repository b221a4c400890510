"""Inspection of a day: the numbers of a known market, and the command."""

import itertools
import json
import math
from statistics import pstdev

import pytest
from click.testing import CliRunner
from foreign_days import PlainMarket, imported, write_csv, write_tardis

from mm import DayFolder, load_day
from mm.commands.data import data_inspect as inspect_command
from mm.formats.inspection import WIDTH, inspect_day


def test_spread_and_volatility_match_the_books(tmp_path):
    """Calculated from the plain books of the market."""
    market = PlainMarket(3)
    folder = DayFolder.at(imported("tardis", write_tardis(tmp_path, market), tmp_path / "data").days[0].path)
    tape = load_day(folder)
    inspection = inspect_day(folder, tape)
    times = [*market.books, tape.end_us]
    tops = [(float(max(bids)), float(min(asks))) for bids, asks in market.books.values()]
    lasts = [after - at for at, after in itertools.pairwise(times)]
    mean = sum((ask - bid) * last for (bid, ask), last in zip(tops, lasts, strict=True)) / sum(lasts)
    one_tick = sum(last for (bid, ask), last in zip(tops, lasts, strict=True) if round(ask - bid, 6) == 0.01) / sum(
        lasts
    )
    assert inspection.spread_ticks == pytest.approx(100 * mean)
    assert inspection.one_tick == pytest.approx(one_tick)
    mids = []
    for second in range(tape.start_us, tape.end_us, 1_000_000):
        bid, ask = tops[max(n for n, at in enumerate(market.books) if at <= second)]
        mids.append((bid + ask) / 2)
    changes = [math.log(new / old) for old, new in itertools.pairwise(mids)]
    assert inspection.volatility_bps == pytest.approx(1e4 * pstdev(changes))
    assert inspection.traded == pytest.approx(float(sum(qty for *_, qty in market.trades)))
    assert (inspection.rows[folder.relative(folder.trades)], inspection.events["trades"]) == (len(market.trades),) * 2
    assert len(inspection.sketch) == WIDTH


def test_command_prints_json_and_draws_the_day(tmp_path):
    report = imported("tardis", write_tardis(tmp_path, PlainMarket(3)), tmp_path / "data")
    out = tmp_path / "day.html"
    done = CliRunner().invoke(inspect_command, [report.days[0].path, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["path"] == str(out)
    assert "Spread" in out.read_text()


def test_trades_alone_have_no_spread(tmp_path):
    path = write_csv(
        tmp_path / "SIMUSDT-trades-2024-03-05.csv", None, [(1, "1.5", "2", "3", 1_709_647_200_000, "True", "True")]
    )
    report = imported("binance_vision", [path], tmp_path / "data", tick_size="0.1")
    done = CliRunner().invoke(inspect_command, [report.days[0].path])
    assert done.exit_code == 0, done.output
    assert "no spread and no volatility" in done.output
