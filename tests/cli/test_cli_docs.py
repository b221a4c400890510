from mm.cli import docs as cli_docs
from mm.cli.knobs import knobs
from support import ROOT


def test_the_configuration_page_is_the_generated_one():
    """Run ``make docs`` when this fails; the page is never edited by hand."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == cli_docs.page()


def test_every_knob_has_a_row():
    """What can be set is documented."""
    page = cli_docs.page()
    for one in (one for group in cli_docs.every_group() for one in knobs(group)):
        assert f"| `{one.variable}` | `{one.flag} " in page


def test_every_table_has_four_columns():
    """A bar inside a cell does not split it."""
    rows = [line for line in cli_docs.page().splitlines() if line.startswith("| `")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


def test_the_page_is_printed(capsys):
    """``make docs`` keeps what the module prints."""
    cli_docs.main()
    assert capsys.readouterr().out == cli_docs.page()
