"""What the README promises exists, and its figures are the ones that were measured."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_card
from agegenderemo.tables import card_tables, fill

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def front_matter() -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", README, re.DOTALL)
    assert match is not None
    values: dict[str, Any] = yaml.safe_load(match[1])
    return values


def test_the_space_runs_the_pinned_gradio(front_matter: dict[str, Any]) -> None:
    pinned = re.search(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert front_matter["sdk"] == "gradio"
    assert front_matter["sdk_version"] == pinned[1]
    assert front_matter["python_version"] == "3.11"


def test_what_the_front_matter_names_exists(front_matter: dict[str, Any]) -> None:
    assert (ROOT / front_matter["app_file"]).is_file()
    assert "build_demo" in (ROOT / front_matter["app_file"]).read_text()
    assert front_matter["license"] == "mit"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_the_two_commands_are_printed() -> None:
    assert "pip install -r requirements.txt && python app.py" in README
    assert "pip install -r requirements-dev.txt && pytest" in README


@pytest.mark.parametrize("page", ["README.md", "checkpoints/README.md"])
def test_the_tables_are_what_evaluate_measured(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- table results -->" in text
    assert fill(text, card_tables(DEFAULT_CHECKPOINT)) == text
    figures = load_card(DEFAULT_CHECKPOINT)["utkface"]
    assert f"{figures['age_mae']:.2f} ± {figures['age_sd']:.2f} years" in text
