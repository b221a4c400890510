from mm.base.knobs import knobs
from mm.cli import docs as cli_docs
from support import ROOT


def test_configuration_page_is_the_generated_page():
    """Run ``make docs`` if this fails; the page is never edited by hand."""
    assert (ROOT / "docs" / "lookup" / "configuration.md").read_text(encoding="utf-8") == cli_docs.page()


def test_every_knob_has_a_row():
    """Every setting is documented."""
    page = cli_docs.page()
    for knob in (knob for group in cli_docs.every_group() for knob in knobs(group)):
        assert f"| `{knob.variable}` | `{knob.flag} " in page


def test_every_table_has_four_columns():
    """A bar inside a cell does not split it."""
    rows = [line for line in cli_docs.page().splitlines() if line.startswith("| `")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


def test_main_prints_the_page(capsys):
    """``make docs`` writes the printed page."""
    cli_docs.main()
    assert capsys.readouterr().out == cli_docs.page()


def test_defaults_of_a_group_s_own_command_are_listed():
    """``mm trade`` and ``mm shadow`` have limits where a backtest has none."""
    row = next(line for line in cli_docs.page().splitlines() if line.startswith("| `MAX_DAILY_LOSS` "))
    assert all(f"`mm {name}`" in row for name in ("shadow", "trade"))
    assert "`1000`" in row
