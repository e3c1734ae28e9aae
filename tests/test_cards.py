"""Cards of shipped models and kept weights: strict JSON with the texts of cards.toml."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from lineament.inference.model_files import weights_folder

ROOT = Path(__file__).parents[1]
WORDS = tomllib.loads((ROOT / "recipes/cards.toml").read_text(encoding="utf-8"))
SHIPPED = sorted(weights_folder().glob("*.json"))
KEPT = sorted((ROOT / "teachers").glob("*.json"))
CARDS = [*SHIPPED, *KEPT]


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def named(path):
    return f"{path.parent.name}/{path.stem}"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("path", CARDS, ids=named)
def test_a_card_is_json_without_nan(path):
    assert read(path) == json.loads(json.dumps(read(path), allow_nan=False))


@pytest.mark.parametrize("path", CARDS, ids=named)
def test_a_card_has_license_data_and_limits_from_cards_toml(path):
    words, card = WORDS["common"] | WORDS[path.stem], read(path)
    for key in ("license", "data", "limits"):
        assert card[key] == words[key], key


@pytest.mark.parametrize("path", KEPT, ids=named)
def test_a_card_of_kept_weights_matches_the_weights_file(path):
    card, content = read(path), path.with_suffix(".safetensors").read_bytes()
    assert card["bytes"] == len(content) < 12_000_000
    assert card["sha256"] == hashlib.sha256(content).hexdigest()


def test_every_figure_of_a_shipped_model_names_its_command():
    for path in SHIPPED:
        figures = read(path)["figures"]
        # one command for all figures of the detector, one each for those of the others
        each = [figures] if "command" in figures else figures.values()
        for figure in each:
            assert figure["command"].split()[0] in ("lineament", "python"), path
