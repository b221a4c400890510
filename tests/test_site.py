"""The documentation site contains every page of the project and all linked files."""

import re

import pytest

from support import ROOT
from tools import site


def test_navigation_lists_every_page():
    inside = re.findall(r"^ +- (?:.+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(inside) == sorted({*map(str, site.pages()), "docs/lookup/api.md"})  # which `make site` writes


@pytest.fixture
def staged_site(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    (root / "docs" / "notebooks").mkdir(parents=True)
    (root / "mm").mkdir()
    (root / "docs" / "notebooks" / "1.ipynb").write_text("{}")
    (root / "mm" / "a.pyx").write_text("pass")
    (root / "docs" / "a.md").write_text("[k](../mm/a.pyx#L1) [n](notebooks) [b](../README.md#top) [w](https://a.org/x)")
    (root / "README.md").write_text("[a](docs/a.md)")
    monkeypatch.setattr(site, "ROOT", root)
    monkeypatch.setattr(site, "SOURCE", tmp_path / "site")
    site.stage()
    return tmp_path / "site"


def test_staged_links_lead_to_the_same_files(staged_site):
    text = (staged_site / "docs" / "a.md").read_text()
    assert text == "[k](../mm/a.pyx#L1) [n](notebooks/1.ipynb) [b](../README.md#top) [w](https://a.org/x)"
    assert (staged_site / "mm" / "a.pyx").read_text() == "pass"
    assert (staged_site / "docs" / "notebooks" / "1.ipynb").is_file()
