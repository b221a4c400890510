"""The ledger of trials: what was played on recorded days, so that later numbers allow for it."""

from mm.callable_package import make_callable

make_callable(__name__)
