import inspect
import json
import sys

import pytest

from mm.backtest.models import QUOTE_MODELS
from mm.errors import ModelError, UnknownModel, UsageError
from mm.play.names import construct, require_signature, resolve


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


REGISTRY = {"share": Share, "ordered": Share}


@pytest.fixture
def work_dir(tmp_path, monkeypatch):
    """Return an empty current folder; modules imported during the test are removed afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_resolve_returns_registered_class():
    """By its name alone."""
    assert resolve(REGISTRY, "share", "fill model") is Share


def test_unknown_model_error_lists_known_and_closest_names():
    """There is no silent fallback to a default."""
    with pytest.raises(
        UnknownModel,
        match=r"^unknown fill model 'shre'; available: ordered, share, "
        r"or package.module:Class; did you mean share\?$",
    ):
        resolve(REGISTRY, "shre", "fill model")


def test_custom_class_is_found_in_current_folder(work_dir):
    """Custom models need no installation."""
    (work_dir / "my_models.py").write_text("class Mine:\n    def on_rest(self, order, book): ...\n")
    assert resolve(REGISTRY, "my_models:Mine", "fill model").__name__ == "Mine"


def test_current_folder_takes_precedence_over_other_modules(work_dir):
    """A file in the current folder takes precedence over an installed module of the same name."""
    (work_dir / "tabnanny.py").write_text("class Mine:\n    def on_rest(self, order, book): ...\n")
    assert resolve(REGISTRY, "tabnanny:Mine", "fill model").__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_models.py:Mine", "'my_models.py' is a path; give package.module:Class, with dots and without .py"),
        ("no_such_module:Mine", "there is no module 'no_such_module' in"),
        ("my_models:Mien", r"has no class 'Mien'; did you mean Mine\?"),
    ],
)
def test_missing_module_or_class_error_names_it(work_dir, name, message):
    """The message names the missing module or class, or the mistake in its name."""
    (work_dir / "my_models.py").write_text("class Mine:\n    pass\n")
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
        ("mm.backtest.fills.base:TradeCross", "quote model", "the class has no such method"),
        ("mm.backtest.quotes.simple:FixedSpread", "fill model", "the class has no such method"),
        ("collections:OrderedDict", "model", "is not a quote model or a fill model"),
    ],
)
def test_resolve_rejects_objects_of_another_kind_without_calling_them(name, kind, message):
    """Names may come from untrusted manifests: functions and other classes are never called."""
    with pytest.raises(UnknownModel, match=message):
        resolve(REGISTRY, name, kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mm.backtest.fills.base:TradeCross", "fill model"),
        ("mm.backtest.quotes.simple:FixedSpread", "quote model"),
        ("mm.backtest.quotes.simple:FixedSpread", "model"),
    ],
)
def test_compiled_model_is_recognized_by_its_base_class(name, kind):
    """Its hooks are C functions, which are not visible as attributes."""
    assert resolve({}, name, kind).__name__ == name.partition(":")[2]


def test_uncompiled_pyx_module_error_gives_build_command(work_dir):
    """The source file exists, but the module does not."""
    (work_dir / "quick_models.pyx").write_text("cdef class Mine:\n    pass\n")
    with pytest.raises(UnknownModel, match=r"quick_models\.pyx is not compiled: cythonize -i -3 quick_models\.pyx"):
        resolve(REGISTRY, "quick_models:Mine", "fill model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package", "needs no_such_package, which is not installed"),
        ("1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_failing_import_of_user_module_raises_model_error(work_dir, text, message):
    """The original exception is kept as the cause, so that its traceback is shown."""
    (work_dir / "broken_models.py").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(REGISTRY, "broken_models:Mine", "fill model")
    assert caught.value.__cause__ is not None


def test_construct_passes_parameters_to_constructor():
    """The JSON parameters become keyword arguments."""
    model = construct(Share, {"share": 0.5, "strict": True}, "fill_params_json")
    assert (model.share, model.strict) == (0.5, True)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"share": 1, "strct": True}, "Share has no parameter 'strct'; known are share, strict; did you mean strict"),
        ({"self": 1}, "Share has no parameter 'self'"),
        ({}, "Share needs share; known are share, strict"),
    ],
)
def test_construct_rejects_unknown_and_missing_parameters(params, message):
    """A misspelt parameter would otherwise leave its default in place."""
    with pytest.raises(UsageError, match=f"^fill_params_json: {message}"):
        construct(Share, params, "fill_params_json")


def test_raising_constructor_raises_model_error():
    """The message of the constructor's exception is included."""
    with pytest.raises(ModelError, match="Share raised ValueError: share 2 is above 1"):
        construct(Share, {"share": 2}, "fill_params_json")


def test_constructor_with_kwargs_accepts_any_parameters():
    """``**params`` means that the model checks its parameters itself."""
    assert construct(lambda **params: params, {"x": 1}, "quote_params_json") == {"x": 1}


def test_construct_uses_signature_attribute_of_compiled_class():
    """Compiled constructors have no introspectable signature."""
    Compiled = type("Compiled", (dict,), {"__signature__": inspect.signature(lambda *, strict=False: strict)})
    assert construct(Compiled, {"strict": True}, "fill_params_json") == {"strict": True}
    with pytest.raises(UsageError, match="known are strict"):
        construct(Compiled, {"share": 1}, "fill_params_json")


@pytest.mark.parametrize("owner", [Share, Share(1)])
@pytest.mark.parametrize("hook", ["on_trade", "on_rest"])
def test_require_signature_accepts_matching_hooks(owner, hook):
    """Methods and static methods of classes and instances are accepted."""
    require_signature(owner, hook, 2)


def test_require_signature_rejects_mismatched_hooks():
    """The error is raised before the run starts."""
    with pytest.raises(
        UsageError, match=r"Share.on_trade\(self, order, trade\) has the wrong signature; .* 3 arguments"
    ):
        require_signature(Share, "on_trade", 3)
    with pytest.raises(UsageError, match=r"Share.on_rest\(order, book\) has the wrong signature; .* 1 argument$"):
        require_signature(Share(1), "on_rest", 1)
    with pytest.raises(UsageError, match=r"Share.level is 3; it must be a method"):
        require_signature(Share(1), "level", 1)


def test_missing_parameter_error_contains_unit_and_example():
    """Regression: "fixed_spread needs delta_ticks; known are delta_ticks" named neither a value nor a unit."""
    build = resolve(QUOTE_MODELS, "fixed_spread", "quote model")
    with pytest.raises(UsageError) as raised:
        construct(build, {}, "quote_params_json")
    text = str(raised.value)
    assert "needs delta_ticks (Each side's distance from the mid, in ticks)" in text
    params = json.loads(text.partition("for example '")[2].partition("'")[0])
    construct(build, params, "quote_params_json")
