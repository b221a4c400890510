"""What a contract tells beside its book, as signals in a live market: equal to the replay of the recorded day."""

import json
import time

import pytest
from trading_box import ended
from usdm_box import contract_box

MODEL = '''
import mm


class Told:
    """Quote farther from the mid the more the contract tells, so that any difference shows."""

    signals = ("perp.premium", "perp.mark_basis", "perp.funding", "perp.funding_in", "perp.open_interest")

    def quote(self, view):
        told = [view.signal(name) for name in self.signals]
        if any(one is None for one in told):
            return None
        premium, basis, rate, left, interest = told
        far = int(abs(basis) * 100 + rate + left + interest) % 3
        return mm.Quotes(view.bid_ticks - far, view.ask_ticks + far)
'''


@pytest.mark.slow
def test_shadow_that_reads_its_own_contract_replays_to_the_same_rows(tmp_path):
    """Mark, funding to come and open interest come by other connections; each row counts from its arrival on."""
    (tmp_path / "told_model.py").write_text(MODEL)
    terms = {"QUOTE_MODEL": "told_model:Told", "QUOTE_PARAMS_JSON": "", "FILL_MODEL": "queue_risk_averse"}
    with contract_box(tmp_path, "--funding-interval-s", "3600") as box:
        others = json.dumps({"perp": {"symbol": box.ready["symbol"]}})
        with box.trader(entry=("-m", "mm", "shadow"), OTHERS=others, **terms) as shadow:
            time.sleep(25)
            code, text, _ = ended(shadow)
    assert code in (0, 5), text
    folder = next((tmp_path / "out" / "shadow").glob("*/*/reconcile.json")).parent
    compared = json.loads((folder / "reconcile.json").read_text())
    assert compared["same"], compared
    assert compared["decisions"] > 20, compared
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n_orders"] > 0, text


@pytest.mark.slow
def test_trade_quotes_by_its_own_contract(tmp_path):
    """Without the marks the model gives nothing."""
    (tmp_path / "told_model.py").write_text(MODEL)
    with contract_box(tmp_path) as box:
        others = json.dumps({"perp": {"symbol": box.ready["symbol"]}})
        terms = {"QUOTE_MODEL": "told_model:Told", "QUOTE_PARAMS_JSON": "", "OTHERS": others}
        with box.trader(**terms) as trader:
            box.until(lambda: box.account()["openOrders"], "orders", process=trader)
            code, text, _ = ended(trader)
    assert code == 0, text
