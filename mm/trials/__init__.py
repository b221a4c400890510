"""The ledger of trials: what was played on recorded days, so that later numbers allow for it."""
