"""``python -m mm.market_data.check`` is ``mm data check``, implemented in `mm.dayfolder.check`."""

from mm.dayfolder.check import CheckReport, check_day

__all__ = ["CheckReport", "check_day"]

if __name__ == "__main__":
    from mm.commands.data import data_check

    data_check()
