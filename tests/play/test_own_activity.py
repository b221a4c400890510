"""What was left of our orders at each instant of the exchange, as an audit log tells it."""

from mm.live.audit.log import AuditLog
from mm.play.own_activity import own_activity


def test_what_is_left_of_an_order_falls_with_fills_and_amendments(tmp_path):
    """Placed with 5, filled by 2, amended to a total of 4, then cancelled: 5, 3, 2 and nothing are left."""
    log = AuditLog(tmp_path / "log", sync=False)
    client, fill = {"client_id": "a"}, {"client_id": "a", "trade_id": 7, "qty": "2", "exchange_us": 20}
    log.append("intent", action="place", side=1, price="99.5", qty="5", kind="LIMIT_MAKER", **client)
    log.append("ack", action="place", exchange_us=10, **client)
    log.append("fill", **fill)
    log.append("ack", action="amend", exchange_us=30, qty="4", **client)
    log.append("cancel", exchange_us=40, status="CANCELED", **client)
    log.append("intent", action="place", side=-1, price="101", qty="1", kind="IOC", client_id="b")
    log.append("ack", action="place", exchange_us=50, client_id="b")  # it never rests
    log.close()
    found = own_activity(log.path)
    (order,) = found.orders
    assert (order.side, order.price_e8, order.qty_e8) == (1, 9_950_000_000, 500_000_000)
    assert order.left_e8 == ((10, 500_000_000), (20, 300_000_000), (30, 200_000_000), (40, 0))
    assert order.fills == ((20, 7),)
    assert order.client_id == "a"
    assert found.trade_ids == frozenset((7,))


def test_moved_order_is_at_its_old_price_until_then_and_at_the_new_one_after(tmp_path):
    """Placed with 5, filled by 2 at 99.5, moved with 6 in all to 99, where 4 are left, filled by 1, then cancelled."""
    log = AuditLog(tmp_path / "log", sync=False)
    client = {"client_id": "a"}
    log.append("intent", action="place", side="BUY", price="99.5", qty="5", kind="LIMIT_MAKER", **client)
    log.append("ack", action="place", exchange_us=10, **client)
    log.append("fill", trade_id=7, qty="2", exchange_us=20, **client)
    log.append("ack", action="amend", exchange_us=30, qty="6", price="99", **client)
    log.append("fill", trade_id=8, qty="1", exchange_us=35, **client)
    log.append("cancel", exchange_us=40, status="CANCELED", **client)
    log.close()
    before, after = own_activity(log.path).orders
    assert (before.price_e8, before.qty_e8, before.fills) == (9_950_000_000, 500_000_000, ((20, 7),))
    assert before.left_e8 == ((10, 500_000_000), (20, 300_000_000), (30, 0))
    assert (after.price_e8, after.qty_e8, after.fills) == (9_900_000_000, 400_000_000, ((35, 8),))
    assert after.left_e8 == ((30, 400_000_000), (35, 300_000_000), (40, 0))
