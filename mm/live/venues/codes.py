"""Binance's error codes that mean something for an order, a key or a request."""

UNKNOWN_ERROR, DISCONNECTED, UNEXPECTED, TIMED_OUT = -1000, -1001, -1006, -1007
TOO_MANY_REQUESTS, OVERLOADED, TOO_MANY_ORDERS, STALE_TIMESTAMP = -1003, -1008, -1015, -1021
FILTER_FAILED, MISSING_PARAMETER, NO_SUCH_SYMBOL = -1013, -1102, -1121
ORDER_REFUSED, UNKNOWN_ORDER, NO_SUCH_ORDER, AMEND_REFUSED = -2010, -2011, -2013, -2038
INCONCLUSIVE = frozenset((UNKNOWN_ERROR, DISCONNECTED, UNEXPECTED, TIMED_OUT, STALE_TIMESTAMP))
"""Codes without an outcome. -1021 is one of them: if clocks may be wrong, the exchange is queried."""
NOT_AUTHORIZED = frozenset((-1002, -1022, -2008, -2014, -2015))
"""Codes for a key, a signature or a log-on that the exchange rejects."""
SLOW_DOWN, BANNED = 429, 418
"""HTTP status of too many requests, and of an address that has continued."""
# Of USD-M alone
NO_MARGIN, NOT_REDUCING, MOST_OPEN_ORDERS, OVER_LEVERAGE, NO_LISTEN_KEY = -2019, -2022, -2025, -2027, -1125
NOT_OPENING, CLOSED, SMALL_NOTIONAL, WOULD_TAKE, SAME_CLIENT_ID = -4140, -4141, -4164, -5022, -4116
OF_THE_PRICE = frozenset((-4001, -4002, -4013, -4014, -4016, -4024, -4131))
OF_THE_QUANTITY = frozenset((-1111, -4003, -4004, -4005, -4023))
OTHER_POSITION_SIDE = -4061
OF_RESTRICTIONS = frozenset((-4109, -4192))
"""An inactive account, and a cooling-off period."""
OF_REDUCING = frozenset((-4087, -4400, -4401))
"""A permission, and rules, by which orders may only reduce."""
OF_MODIFYING = frozenset((-5025, -5026, -5027, -5028))
"""Codes of an order that cannot be modified, for its own sake."""
