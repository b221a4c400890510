"""Copies of the fitted and trained models of a live run, in its folder: a later fit may overwrite them."""

import json
from pathlib import Path

from mm.play.artefacts import artefacts, moved_models
from mm.play.knobs import Models
from mm.runs.in_progress import Run
from mm.runs.trusted import KEPT, KEPT_INDEX
from mm.signals.artefact import ARRAYS, MODEL


def keep_models(run: Run, models: Models) -> None:
    kept: dict[str, str] = {}
    for text in artefacts([models.quote_params(), models.fill_params()]):
        source, place = Path(text), f"{KEPT}/{len(kept)}"
        kept[text] = place if source.is_dir() else f"{place}/{source.name}"
        for path in [source / name for name in (MODEL, ARRAYS)] if source.is_dir() else [source]:
            run.path(f"{place}/{path.name}").write_bytes(path.read_bytes())
    if kept:
        run.path(f"{KEPT}/{KEPT_INDEX}").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def kept_models(models: Models, folder: Path) -> Models:
    """Refer to the copies in the run's *folder*."""
    index = folder / KEPT / KEPT_INDEX
    if not index.is_file():
        return models
    places = {text: str(folder / place) for text, place in json.loads(index.read_text(encoding="utf-8")).items()}
    return moved_models(models, places)
