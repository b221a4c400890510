"""``python -m mm.market_data.import_capture`` is ``mm data import``."""

from mm.market_data.capture_import import ImportOptions, import_captures

__all__ = ["ImportOptions", "import_captures"]

if __name__ == "__main__":
    from mm.commands.data import data_import

    data_import()
