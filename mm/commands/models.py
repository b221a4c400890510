"""``mm models``."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from mm.backtest.parameters import VOLATILITY
from mm.backtest.rules import Execution
from mm.base.knobs import REQUIRED, Knob, closest, knobs, shown
from mm.cli.frame import command
from mm.errors import UnknownModel
from mm.terminal.console import Console

_NAME = click.Argument(["name"], required=False, metavar="[MODEL]")


_LATENCY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "fixed": (
        "ORDER_LATENCY_MS and CANCEL_LATENCY_MS, the same for every order.",
        ("order_latency_ms", "cancel_latency_ms"),
    ),
    "measured": ("Drawn from the rows of LATENCY_FILE.", ("latency_file",)),
    "recorded_feed": (
        "FEED_LATENCY=recorded: market data arrive with the recorded delay; the default where a day tells it.",
        ("feed_latency",),
    ),
}
_VOLATILITY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "rolling": ("The changes within a window, equally weighted.", ("sigma_window_s",)),
    "ewma": ("Exponential weights: older changes count less.", ("sigma_half_life_s",)),
    "two_scale": ("A window on two scales, which removes bid-ask bounce.", ("sigma_window_s",)),
}


@dataclass(frozen=True)
class Listed:
    kind: str
    name: str
    text: str
    parameters: tuple[dict[str, Any], ...]
    bias: str | None = None

    def to_json(self) -> dict[str, Any]:
        content = {"kind": self.kind, "name": self.name, "text": self.text, "parameters": list(self.parameters)}
        return content if self.bias is None else {**content, "bias": self.bias}


@command(arguments=[_NAME])
def models(console: Console, name: str | None) -> None:
    """List the models by name; with MODEL, its parameters with unit, default and meaning.

    Example: mm models glft
    """
    listed = list(every_model())
    if name is None:
        console.set_json({"models": [model.to_json() for model in listed]})
        for kind, title in KINDS.items():
            console.print(f"{title}")
            rows = [model for model in listed if model.kind == kind]
            width = max(len(model.name) for model in rows)
            for model in rows:
                console.print(f"  {model.name:<{width}}  {model.text}")
            console.print("")
        console.print("mm models NAME lists the parameters of a model.")
        return
    chosen = [model for model in listed if model.name == name]
    if not chosen:
        names = sorted({model.name for model in listed})
        raise UnknownModel(f"there is no model {name!r}{closest(name, names)}; mm models lists them")
    console.set_json({"models": [model.to_json() for model in chosen]})
    for model in chosen:
        for line in lines(model):
            console.print(line)


KINDS: Mapping[str, str] = {
    "quote": "Quote models (--quote-model, QUOTE_PARAMS_JSON)",
    "step": "Steps around a quote model (in QUOTE_PARAMS_JSON of steps)",
    "fill": "Fill models (--fill-model, FILL_PARAMS_JSON)",
    "volatility": "Volatility (sigma_method in QUOTE_PARAMS_JSON)",
    "latency": "Latency (flags of mm backtest)",
}


def every_model() -> Iterator[Listed]:
    from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, declared

    for kind, registry in (("quote", QUOTE_MODELS), ("step", QUOTE_STEPS), ("fill", FILL_MODELS)):
        for name, build in sorted(registry.items()):
            made = declared(build)
            own = {setting.name for setting in VOLATILITY} if kind == "quote" else ()
            text = _text(build) if name == made.name else f"Alias of {made.name}."
            yield Listed(
                kind,
                name,
                text,
                tuple(_row(setting) for setting in made.of_user() if setting.name not in own),
                made.bias,
            )
    by_name = {setting.name: setting for setting in VOLATILITY}
    for name, (text, names) in _VOLATILITY.items():
        yield Listed("volatility", name, text, tuple(_row(by_name[setting]) for setting in names))
    of_orders = {knob.name: knob for knob in knobs(Execution)}
    for name, (text, names) in _LATENCY.items():
        yield Listed("latency", name, text, tuple(_row(of_orders[knob], of_orders[knob].flag) for knob in names))


def lines(model: Listed) -> Iterator[str]:
    yield f"{model.name}  ({model.kind})"
    yield f"  {model.text}"
    if model.bias:
        yield f"  bias: {model.bias}"
    cells = [(row["name"], row["unit"] or "", _default(row), row["meaning"]) for row in model.parameters]
    widths = [max((len(cell[place]) for cell in cells), default=0) for place in range(3)]
    for cell in cells:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(cell[:3], widths, strict=True)) + f"  {cell[3]}"
    if not cells:
        yield "  no parameters"


def _text(build: Callable[..., Any]) -> str:
    first = (inspect.getdoc(build) or "").partition("\n\n")[0]
    text = " ".join(first.replace("``", "").split()).removeprefix("Return ")
    return text[:1].upper() + text[1:]


def _row(knob: Knob, flag: str = "") -> dict[str, Any]:
    unit = "ms" if knob.name.endswith("_ms") else knob.unit.text if knob.unit else None
    return {
        "name": flag or knob.name,
        "unit": None if unit == "–" else unit,
        "default": None if knob.default is REQUIRED else knob.default,
        "required": knob.default is REQUIRED,
        "meaning": knob.help.replace("`", ""),
    }


def _default(row: Mapping[str, Any]) -> str:
    return "required" if row["required"] else "-" if row["default"] is None else shown(row["default"])
