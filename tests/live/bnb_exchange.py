"""``mm sim serve`` with commissions of .05 BNB for each fill; the first argument is the price of BNB, 0 for none."""

import sys

from mm.__main__ import main
from mm.sim.exchange import settlement
from mm.sim.wire import answers, operations

COMMISSION = {"commission": "0.05000000", "commissionAsset": "BNB"}
price = sys.argv[1]
for kind in vars(answers).values():
    if isinstance(kind, type) and hasattr(kind, "_execution"):
        Texts = kind
execution, trade = Texts._execution, Texts.own_trade


def execution_in_bnb(self, happened):
    report = execution(self, happened)
    return report | {"n": "0.05000000", "N": "BNB"} if report["x"] == "TRADE" else report


Texts._execution = execution_in_bnb
Texts.own_trade = lambda self, *given: trade(self, *given) | COMMISSION
settlement.fee_e8 = lambda *_: 0  # base and quote asset pay none
usual = operations._for_one_or_all


def with_bnb(call, ticker):
    if call.parameters.given.get("symbol") == "BNBUSDT" and float(price):
        return {"symbol": "BNBUSDT", "price": price}
    return usual(call, ticker)


operations._for_one_or_all = with_bnb
sys.argv = ["mm", "sim", "serve", *sys.argv[2:]]
sys.exit(main())
