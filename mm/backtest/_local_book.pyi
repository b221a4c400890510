# Generated from mm/backtest/_local_book.pyx by `make stubs`; edit that file instead.

"""The market as we have received it, where the exchange is ahead: a second book, fed in the order of receipt."""
