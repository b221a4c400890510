"""``mm trade`` of a strategy with a leg in the other market: Spot and USD-M, an exchange in a box each."""

import json
from decimal import Decimal

import pytest
from pair_box import BASIS, SPOT, USDM, pair_of
from trading_box import ended, page

from state_servers import free_port

MARKETS = (SPOT, USDM)


@pytest.mark.slow
@pytest.mark.parametrize("own", MARKETS)
def test_both_markets_have_the_exchanges_books_over_a_kill(tmp_path, own):
    """The same symbol in both: two accounts, two ledgers, two folders; the first trader is killed with orders open."""
    with pair_of(tmp_path, own) as pair:
        with pair.trader() as process:
            pair.traded(process, 4)
            pair.boxes[own].until(lambda: all(pair.open().values()), "orders in both", process=process)
            process.kill()
            process.wait()
        port = free_port()
        with pair.trader(METRICS_PORT=str(port)) as process:
            pair.traded(process, 3)
            shown = page(port)
            code, output, _ = ended(process)
        assert code == 0, output
        pair.check_books()
        leg = f"SIMUSDT.{pair.leg}"
        assert any(line.startswith(f'mm_position{{symbol="{leg}"}}') for line in shown)
        assert any(line.startswith('mm_position{symbol="SIMUSDT"}') for line in shown)
        assert abs(pair.held(SPOT) + pair.held(USDM)) < Decimal("0.6")
        summary, of_leg = (
            json.loads((pair.of(market).folders()[-1] / "summary.json").read_text()) for market in (own, pair.leg)
        )
        told = summary["legs"]["other"]
        assert (told["n_fills"], told["pnl_total"]) == (of_leg["n_fills"], of_leg["pnl_total"])
        assert summary["pnl_total"] == pytest.approx(summary["own_market"]["pnl_total"] + of_leg["pnl_total"], abs=1e-9)
        prices = {market: Decimal(pair.of(market).table("fills")[-1]["price"]) for market in MARKETS}
        assert abs(prices[USDM] - prices[SPOT] - BASIS) < BASIS / 2
