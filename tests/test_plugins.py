import inspect
import json
import sys

import pytest

from mm.backtest.models import QUOTE_MODELS
from mm.errors import ModelError, UnknownModel, UsageError
from mm.plugins import construct, require_signature, resolve


class Share:
    """A model with parameters and hooks."""

    def __init__(self, share: float, *, strict: bool = False) -> None:
        if share > 1:
            raise ValueError(f"share {share} is above 1")
        self.share, self.strict = share, strict

    def on_trade(self, order, trade):
        return order, trade

    @staticmethod
    def on_rest(order, book):
        return order, book

    level = 3


REGISTRY = {"share": Share, "ordered": "collections:OrderedDict"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder that imports do not outlive."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_known_name_is_its_class():
    """A registry may hold the class, or where it is."""
    assert resolve(REGISTRY, "share", "fill model") is Share
    assert resolve(REGISTRY, "ordered", "fill model").__name__ == "OrderedDict"


def test_an_unknown_name_names_the_known_and_the_closest():
    """Nothing falls back to a default in silence."""
    with pytest.raises(
        UnknownModel,
        match=r"^unknown fill model 'shre'; available: ordered, share, "
        r"or package.module:Class; did you mean share\?$",
    ):
        resolve(REGISTRY, "shre", "fill model")


def test_a_class_of_one_s_own_is_found_in_the_current_folder(here):
    """No installation is needed to try an idea."""
    (here / "my_models.py").write_text("class Mine:\n    def on_rest(self, order, book): ...\n")
    assert resolve(REGISTRY, "my_models:Mine", "fill model").__name__ == "Mine"


def test_the_current_folder_is_searched_first(here):
    """A file beside the command wins over a module of that name elsewhere."""
    (here / "tabnanny.py").write_text("class Mine:\n    def on_rest(self, order, book): ...\n")
    assert resolve(REGISTRY, "tabnanny:Mine", "fill model").__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_models.py:Mine", "'my_models.py' is a path; give package.module:Class, with dots and without .py"),
        ("no_such_module:Mine", "there is no module 'no_such_module' in"),
        ("my_models:Mien", r"has no class 'Mien'; did you mean Mine\?"),
    ],
)
def test_a_module_or_class_that_is_not_there_is_named(here, name, message):
    """The message says where was searched."""
    (here / "my_models.py").write_text("class Mine:\n    pass\n")
    with pytest.raises(UnknownModel, match=message):
        resolve(REGISTRY, name, "fill model")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "os:system",
            "quote model",
            "it is a builtin_function_or_method; a quote model is a class with the method quote",
        ),
        (
            "subprocess:Popen",
            "quote model",
            "the class has no such method; a quote model is a class with the method quote",
        ),
        ("subprocess:Popen", "step", "a step is a class with the method quote"),
        ("subprocess:Popen", "fill model", "the method on_rest, on_trade, on_book or on_level"),
        ("urllib.parse:quote", "quote model", "it is a function"),
        ("mm.backtest.fills.crossing:TradeCross", "quote model", "the class has no such method"),
        ("mm.backtest.quotes.simple:FixedSpread", "fill model", "the class has no such method"),
        ("collections:OrderedDict", "model", "is not a quote model or a fill model"),
    ],
)
def test_what_is_no_model_of_the_kind_is_refused_before_it_is_called(name, kind, message):
    """A name may come from a manifest that somebody else wrote: no function and no other class is ever called."""
    with pytest.raises(UnknownModel, match=message):
        resolve(REGISTRY, name, kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mm.backtest.fills.crossing:TradeCross", "fill model"),
        ("mm.backtest.quotes.simple:FixedSpread", "quote model"),
        ("mm.backtest.quotes.simple:FixedSpread", "model"),
    ],
)
def test_a_compiled_model_is_one_by_its_base(name, kind):
    """Its hooks are C functions, which no attribute shows."""
    assert resolve({}, name, kind).__name__ == name.partition(":")[2]


def test_a_module_that_is_not_compiled_yet_says_so(here):
    """The file is there, and yet there is no module."""
    (here / "quick_models.pyx").write_text("cdef class Mine:\n    pass\n")
    with pytest.raises(UnknownModel, match=r"quick_models\.pyx is not compiled: cythonize -i -3 quick_models\.pyx"):
        resolve(REGISTRY, "quick_models:Mine", "fill model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package", "needs no_such_package, which is not installed"),
        ("1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_the_user_s_error(here, text, message):
    """Its own traceback follows, so it is kept as the cause."""
    (here / "broken_models.py").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(REGISTRY, "broken_models:Mine", "fill model")
    assert caught.value.__cause__ is not None


def test_parameters_are_the_constructor_s_arguments():
    """What the JSON says is what the model gets."""
    model = construct(Share, {"share": 0.5, "strict": True}, "FILL_PARAMS_JSON")
    assert (model.share, model.strict) == (0.5, True)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"share": 1, "strct": True}, "Share has no parameter 'strct'; known are share, strict; did you mean strict"),
        ({"self": 1}, "Share has no parameter 'self'"),
        ({}, "Share needs share; known are share, strict"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, message):
    """A misspelt parameter would otherwise leave its default in place."""
    with pytest.raises(UsageError, match=f"^FILL_PARAMS_JSON: {message}"):
        construct(Share, params, "FILL_PARAMS_JSON")


def test_a_constructor_that_raises_is_the_user_s_error():
    """The value it did not like is in the line."""
    with pytest.raises(ModelError, match="Share raised ValueError: share 2 is above 1"):
        construct(Share, {"share": 2}, "FILL_PARAMS_JSON")


def test_a_constructor_that_takes_anything_gets_anything():
    """``**params`` means that the model checks for itself."""
    assert construct(lambda **params: params, {"x": 1}, "QUOTE_PARAMS_JSON") == {"x": 1}


def test_a_compiled_class_names_its_parameters_itself():
    """Compiled constructors have no signature to read."""
    Compiled = type("Compiled", (dict,), {"__signature__": inspect.signature(lambda *, strict=False: strict)})
    assert construct(Compiled, {"strict": True}, "FILL_PARAMS_JSON") == {"strict": True}
    with pytest.raises(UsageError, match="known are strict"):
        construct(Compiled, {"share": 1}, "FILL_PARAMS_JSON")


@pytest.mark.parametrize("owner", [Share, Share(1)])
@pytest.mark.parametrize("hook", ["on_trade", "on_rest"])
def test_a_hook_of_the_right_signature_passes(owner, hook):
    """Methods and static methods, of a class and of an object."""
    require_signature(owner, hook, 2)


def test_a_hook_of_the_wrong_signature_is_refused_by_name():
    """It is found when the model is named, not hours later."""
    with pytest.raises(
        UsageError, match=r"Share.on_trade\(self, order, trade\) has the wrong signature; .* 3 arguments"
    ):
        require_signature(Share, "on_trade", 3)
    with pytest.raises(UsageError, match=r"Share.on_rest\(order, book\) has the wrong signature; .* 1 argument$"):
        require_signature(Share(1), "on_rest", 1)
    with pytest.raises(UsageError, match=r"Share.level is 3; it must be a method"):
        require_signature(Share(1), "level", 1)


def test_a_missing_parameter_is_explained_with_its_unit_and_an_example():
    """Found in a terminal: "fixed_spread needs delta_ticks; known are delta_ticks", without a value or a unit."""
    build = resolve(QUOTE_MODELS, "fixed_spread", "quote model")
    with pytest.raises(UsageError) as refused:
        construct(build, {}, "QUOTE_PARAMS_JSON")
    text = str(refused.value)
    assert "needs delta_ticks (Each side's distance from the mid, in ticks)" in text
    params = json.loads(text.partition("QUOTE_PARAMS_JSON='")[2].partition("'")[0])
    construct(build, params, "QUOTE_PARAMS_JSON")
