"""``mm shadow --market usdm`` at its door: a paper position in a perpetual, and the replay of its day."""

import json
import time

import pytest
from trading_box import ended
from usdm_box import contract_box


@pytest.mark.slow
def test_shadow_with_funding_replays_to_the_same_rows(tmp_path):
    """Payments become known up to a minute late: each is for the position of its own instant in both."""
    with (
        contract_box(tmp_path, "--funding-interval-s", "10") as box,
        box.trader(entry=("-m", "mm", "shadow"), FILL_MODEL="queue_risk_averse", ORDER_MODIFY="1") as shadow,
    ):
        time.sleep(70)  # the recorder asks for payments once a minute
        code, text, _ = ended(shadow)
    assert code == 0, text
    folder = next((tmp_path / "out" / "shadow").glob("*/*/summary.json")).parent
    compared = json.loads((folder / "reconcile.json").read_text())
    assert compared["same"], compared
    assert compared["fills_live"] > 0
    assert "AMEND" in (folder / "orders_SIMUSDT.csv").read_text()
    assert json.loads((folder / "summary.json").read_text())["funding"] not in (None, 0.0)
    assert len(json.loads((folder / "shadow.json").read_text())["payments"]) > 1
