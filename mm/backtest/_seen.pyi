# Generated from mm/backtest/_seen.pyx by `make stubs`; edit that file instead.

"""The market as we know it: a second book, fed in the order of receipt."""
