"""What is answered about accounts: their balances, their fees, and what they traded."""

from mm.instrument import decimal_text
from mm.sim.exchange.accounts import Balance, UserAccount
from mm.sim.exchange.orders import Fill, PreventedMatch
from mm.sim.wire.symbol_texts import NONE_ID, ZERO, Json, SymbolTexts

_RATE_UNIT_E8 = 10_000
"""Old commission fields count in 0.0001."""


def account(texts: SymbolTexts, account: UserAccount, *, omit_zero: bool) -> Json:
    """Return an account; with *omit_zero* without the assets of which it has nothing."""
    rules = texts.rules
    maker, taker = decimal_text(rules.maker_rate_e8), decimal_text(rules.taker_rate_e8)
    balances = ((rules.base, account.base), (rules.quote, account.quote))
    return {
        "makerCommission": rules.maker_rate_e8 // _RATE_UNIT_E8,
        "takerCommission": rules.taker_rate_e8 // _RATE_UNIT_E8,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": ZERO, "seller": ZERO},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": texts.stamp(account.updated_us),
        "accountType": "SPOT",
        "balances": [_balance(asset, balance) for asset, balance in balances if balance.total or not omit_zero],
        "permissions": ["SPOT"],
        "uid": account.number,
    }


def commission(texts: SymbolTexts) -> Json:
    """Return the rates of fees."""
    rules = texts.rules
    none = {"maker": ZERO, "taker": ZERO, "buyer": ZERO, "seller": ZERO}
    rates = {"maker": decimal_text(rules.maker_rate_e8), "taker": decimal_text(rules.taker_rate_e8)}
    return {
        "symbol": texts.symbol,
        "standardCommission": none | rates,
        "specialCommission": none,
        "taxCommission": none,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "BNB",
            "discount": ZERO,
        },
    }


def trade(texts: SymbolTexts, fill: Fill) -> Json:
    """Return a trade as its owner asks for it."""
    return {
        "symbol": texts.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": NONE_ID,
        "price": texts.price(fill.ticks),
        "qty": texts.qty(fill.lots),
        "quoteQty": texts.worth(fill.ticks * fill.lots),
        "commission": decimal_text(fill.fee_e8),
        "commissionAsset": texts.earned(fill.side),
        "time": texts.stamp(fill.us),
        "isBuyer": fill.side > 0,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def prevented(texts: SymbolTexts, match: PreventedMatch) -> Json:
    """Return a trade with oneself that did not happen."""
    return {
        "symbol": texts.symbol,
        "preventedMatchId": match.match_id,
        "takerOrderId": match.taker_id,
        "makerSymbol": texts.symbol,
        "makerOrderId": match.maker_id,
        "tradeGroupId": NONE_ID,
        "selfTradePreventionMode": match.stp,
        "price": texts.price(match.ticks),
        **texts.lost(match),
        "transactTime": texts.stamp(match.us),
    }


def _balance(asset: str, balance: Balance) -> Json:
    return {"asset": asset, "free": decimal_text(balance.free), "locked": decimal_text(balance.locked)}
