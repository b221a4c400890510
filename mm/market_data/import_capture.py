"""``python -m mm.market_data.import_capture``: ``mm data import``, implemented in `mm.market_data.capture_import`."""

from mm.market_data.capture_import import ImportOptions, import_captures

__all__ = ["ImportOptions", "import_captures"]

if __name__ == "__main__":
    from mm.commands.data import data_import

    data_import()
