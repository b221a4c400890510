"""What starts a recorder, in every place that says how."""

import pytest

from support import ROOT

PLACES = ("mm/market_data/README.md", "docs/data.md", "crontab", "Dockerfile")


@pytest.mark.parametrize("place", PLACES)
def test_page_crontab_and_dockerfile_start_the_same_module(place: str) -> None:
    """The module is part of the contract."""
    assert "mm.market_data.recorder" in (ROOT / place).read_text(encoding="utf-8")
