"""Predictor folders in the layout of the Hugging Face Hub: settings, model, card.

A local folder needs no additional package; a name on the Hub needs the extra `hub`.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..atomic import atomic_path, write_text
from ..errors import ModelError, missing_extra, short_reason
from ..estimator import LandmarkModel
from ..schemes import load_stored_scheme, scheme_entries
from .foreign_model import SUFFIX as FOREIGN_SUFFIX
from .model_files import SUFFIXES, find_model, read_card
from .recrop import RecropPolicy

CONFIG = "config.json"
"""File of the settings, by which the Hub counts downloads."""
HUB_NAME = r"[\w.-]+/[\w.-]+"
"""OWNER/NAME of a repository on the Hub."""
UNKNOWN_LICENSE = "The license is not stated."
README = """---
library_name: lineament
pipeline_tag: keypoint-detection
license: {license}
tags:
- face
- facial-landmarks
- {scheme}
---
# {name}

Facial landmarks of the scheme `{scheme}`, for the Python package `lineament`.

```python
from lineament import Predictor

predictor = Predictor.from_pretrained("THIS_FOLDER")
faces = predictor("photo.jpg")
```

{words}
"""
CARD_WORDS = ("data", "limits", "history")
"""Entries of a card that are copied to the README."""


class PretrainedSettings(BaseModel):
    """Settings of a predictor in `config.json`, except those of the machine."""

    # not the Settings of recipes, whose import would slow down all commands that predict
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    library_name: str = Field("lineament", pattern="^lineament$")
    version: str = ""
    model: str | None = None
    scheme: str
    own_scheme: dict[str, Any] | None = None
    recrop: dict[str, float] | None = None
    min_presence: float
    min_landmark_score: float
    min_face: float | None = None
    flip: bool = False


def model_file(model: LandmarkModel | None, given: str | Path | None) -> Path | None:
    """Return the file of a model, None for None.

    Args:
        given: The name or file that the model was loaded from.

    Raises:
        ModelError: If the model has none, or it is a description of a third-party model.
    """
    if model is None:
        return None
    if given is None:
        raise ModelError(
            f"the model {model.name!r} has no file; write one with lineament export, "
            "and create the predictor from it"
        )
    file = find_model(str(given))
    if file.suffix == FOREIGN_SUFFIX:
        raise ModelError(
            f"{file} describes a third-party model, whose file is not saved with it; copy "
            "both files, and create the predictor from the copy"
        )
    return file


def save_folder(
    folder: Path,
    model: Path | None,
    scheme: str,
    recrop: RecropPolicy | None,
    options: Mapping[str, Any],
) -> None:
    """Write a folder for `read_folder`.

    Args:
        folder: Created if missing; files of an earlier predictor in it are replaced.
        model: The model file; None: the predictor has no model.
        scheme: Scheme of the results.
        recrop: Re-crop policy of the predictor.
        options: Other options of the predictor, keys of PretrainedSettings.
    """
    from .. import __version__

    folder.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = {}
    stated = {"version": __version__, "model": None, **scheme_entries(scheme)}
    if model is not None:
        card = read_card(model)
        stated["model"] = f"model{model.suffix}"
        with atomic_path(folder / stated["model"]) as partial:
            shutil.copyfile(model, partial)
        write_text(folder / "model.json", _as_json(card))
    stated["recrop"] = None if recrop is None else asdict(recrop)
    settings = PretrainedSettings(**stated, **options)
    write_text(folder / "README.md", _readme(card, scheme))
    # last, because the folder counts as complete when it exists
    write_text(folder / CONFIG, _as_json(settings.model_dump(exclude_none=True)))


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _readme(card: Mapping[str, Any], scheme: str) -> str:
    words = [str(card.get("license", UNKNOWN_LICENSE))]
    for key in CARD_WORDS:
        if key in card:
            words.append(f"{key.capitalize()}: {card[key]}")
    return README.format(
        license="other" if "license" in card else "unknown",
        scheme=scheme,
        name=card.get("name", "Facial landmarks"),
        words="\n\n".join(words),
    )


def read_folder(folder: Path) -> dict[str, Any]:
    """Return the options of Predictor that are stored in a folder.

    Raises:
        ModelError: If the folder was not written by `save_folder`.
        SchemeError: If it contains an invalid scheme.
    """
    path = folder / CONFIG
    try:
        text = path.read_text(encoding="utf-8")
        settings = PretrainedSettings.model_validate_json(text)
        recrop = None if settings.recrop is None else RecropPolicy(**settings.recrop)
    except (OSError, ValidationError, TypeError) as error:
        raise ModelError(
            f"{path}: cannot be used ({short_reason(error)}); expected a folder "
            "written by Predictor.save_pretrained"
        ) from error
    options = settings.model_dump(
        include={"min_presence", "min_landmark_score", "min_face", "flip"}
    )
    options["scheme"] = load_stored_scheme(settings.model_dump(exclude_none=True))
    options["recrop"] = recrop
    options["model"] = _model_file(folder, settings.model)
    return options


def _model_file(folder: Path, name: str | None) -> Path | None:
    if name is None:
        return None
    # an untrusted folder must not name a file outside of it
    if Path(name).name != name or Path(name).suffix not in SUFFIXES:
        raise ModelError(
            f"{folder / CONFIG}: the model is {name!r}; "
            f"expected a file of the folder, {' or '.join(SUFFIXES)}"
        )
    return folder / name


def find_folder(source: str | Path, revision: str | None = None) -> Path:
    """Return a local folder, or download a repository from the Hub.

    Args:
        source: A folder, or OWNER/NAME.
        revision: Branch, tag or commit of the repository.

    Raises:
        ExtraError: If a download is needed and huggingface_hub is not installed.
        ModelError: If there is no such folder or repository.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if not re.fullmatch(HUB_NAME, str(source)):
        raise ModelError(
            f"no folder {str(source)!r}; expected one written by "
            "Predictor.save_pretrained, or OWNER/NAME of the Hugging Face Hub"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_extra("huggingface_hub", "hub") from error
    try:
        files = [CONFIG, "model.*"]
        return Path(
            snapshot_download(str(source), revision=revision, allow_patterns=files)
        )
    except Exception as error:  # huggingface_hub passes on errors of several libraries
        raise ModelError(
            f"{source}: no such folder, and no download from the Hub "
            f"({short_reason(error)}); check the name and the connection"
        ) from error
