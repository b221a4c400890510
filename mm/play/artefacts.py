"""The files that models' parameters name: predictors, agents and fits; also their other places."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mm.play.knobs import Models
from mm.signals.artefact import MODEL

FILES_NAMED = ("model_path", "latency_file")
"""Parameters of models and of other markets that name a file."""


def moved_models(models: Models, places: Mapping[str, str]) -> Models:
    quotes, fills = (json.dumps(moved(params, places)) for params in (models.quote_params(), models.fill_params()))
    return replace(
        models,
        quote_params_json=models.quote_params_json and quotes,
        fill_params_json=models.fill_params_json and fills,
    )


def artefacts(value: object, key: str = "") -> Iterator[str]:
    if isinstance(value, str):
        folder = value.removesuffix(":bid").removesuffix(":ask")
        if (Path(folder) / MODEL).is_file() or (key in FILES_NAMED and Path(value).is_file()):
            yield folder
    elif isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else ((key, item) for item in value)
        for name, item in pairs:
            yield from artefacts(item, name)


def moved(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: moved(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, places) for item in value]
    if not isinstance(value, str):
        return value
    folder = value.removesuffix(":bid").removesuffix(":ask")
    return places.get(folder, folder) + value.removeprefix(folder)
