"""What the documents promise exists, and their figures are the ones that were measured."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agegenderemo import __version__
from agegenderemo.cli import COMMANDS
from agegenderemo.report import fill_page, load_card
from agegenderemo.report.table import NOT_MEASURED
from agegenderemo.resources import DEFAULT_MODEL, find_checkpoint, shipped_checkpoints

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "checkpoints/README.md",
    "checkpoints/mobileone_s0.md",
    "docs/evaluation.md",
    "docs/experiments.md",
    "docs/spaces.md",
    "docs/training.md",
    "docs/zoo.md",
)


@pytest.fixture(scope="module")
def front_matter() -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", README, re.DOTALL)
    assert match is not None
    values: dict[str, Any] = yaml.safe_load(match[1])
    return values


def test_the_pinned_gradio_is_one_everywhere(front_matter: dict[str, Any]) -> None:
    pinned = re.search(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert front_matter["sdk"] == "gradio"
    assert front_matter["sdk_version"] == pinned[1]
    assert front_matter["python_version"] == "3.12"  # ZeroGPU has no 3.11
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    assert f"gradio=={pinned[1]}" in extras["app"]


def test_what_the_front_matter_names_exists(front_matter: dict[str, Any]) -> None:
    assert (ROOT / front_matter["app_file"]).is_file()
    assert "agegenderemo.web.app" in (ROOT / front_matter["app_file"]).read_text()
    assert front_matter["license"] == "mit"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_the_front_matter_is_what_the_hub_takes(front_matter: dict[str, Any]) -> None:
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= colours
    assert len(front_matter["short_description"]) <= 60
    assert re.fullmatch(r"\d+\.\d+\.\d+", front_matter["sdk_version"])


def test_what_a_space_installs_is_what_the_page_needs() -> None:
    """A Space installs before the folder is there, so the packages stand in files of their own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    page = {*project["dependencies"], *extras["app"]}
    assert _requirements("requirements-space.txt") == page
    more = _requirements("requirements-zerogpu.txt") - page
    assert {"torch", "torchvision"} <= more  # a version may be one that ZeroGPU refuses
    assert more - {"torch", "torchvision"} <= set(extras["train"])


def _requirements(name: str) -> set[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


HF_COMMANDS = sorted(
    {
        line
        for page in PAGES
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line.startswith("hf ")
    }
)


@cache
def _hf_help(*words: str) -> str:
    """What `hf` of the installed huggingface_hub says of a command."""
    pytest.importorskip("huggingface_hub", reason="it brings `hf`; it is not installed")
    own = {"HF_HUB_OFFLINE": "1", "COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [Path(sys.executable).with_name("hf"), *words, "--help"],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", HF_COMMANDS)
def test_commands_of_the_hub_are_as_it_takes_them(command: str) -> None:
    words = shlex.split(command)[1:]
    verb = words[:2] if words[0] == "repos" else words[:1]
    text, rest = _hf_help(*verb), words[len(verb) :]
    places = re.search(r"Usage: hf [a-z ]+\[OPTIONS\] (.*)", text)
    assert places is not None
    positions: list[str] = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            positions.append(word)
            continue
        value = rest.pop(0)
        option = re.search(rf"^ .*{word}\b[^\n]*?(TEXT|\[[\w|-]+\])", text, re.MULTILINE)
        assert option is not None, f"{verb} takes no {word} with a value"
        assert option[1] == "TEXT" or value in option[1][1:-1].split("|"), f"{word} {value}"
    assert 1 <= len(positions) <= len(places[1].split())
    for local in positions[1:2]:
        assert local == "site" or (ROOT / local).exists()


def test_three_ways_to_a_space_are_printed() -> None:
    section = README[README.index("## Put it on Hugging Face Spaces") :].split("\n## ")[0]
    for words in ("--sdk static", "--flavor zero-a10g", "--flavor cpu-basic", "static --out site"):
        assert words in section
    assert len(section.splitlines()) <= 30


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [t for t in targets if not ((ROOT / page).parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_commands_in_the_text_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    tests = re.findall(r"`(?:python |pytest )?((?:tests|benchmarks)/\w+\.py)", text)
    assert [path for path in tests if not (ROOT / path).is_file()] == []
    if page != "CHANGELOG.md":  # which names old commands too
        known = {command.name for command in COMMANDS}
        assert set(re.findall(r"(?<![-\w/])(?<!from )agegenderemo ([a-z]\w+)", text)) <= known


def test_the_commands_are_printed() -> None:
    assert "pip install -r requirements.txt && python app.py" in README
    assert "pip install -r requirements-dev.txt && pytest" in README
    assert "pip install . && agegenderemo analyze" in README
    assert "python train.py --recipe" in README
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    for command in COMMANDS:
        assert f"agegenderemo {command.name}" in text or command.name == "train"


def test_nothing_is_left_to_measure() -> None:
    for page in PAGES:
        assert "TODO" not in (ROOT / page).read_text(encoding="utf-8")


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert next(name for name in headings if name != "Unreleased") == __version__


def test_every_picture_that_ships_has_its_rights_told() -> None:
    told = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    pictures = [path.name for path in (ROOT / "examples").iterdir() if path.suffix != ".md"]
    assert pictures
    assert [name for name in pictures if f"`{name}`" not in told] == []


CARDS = {path.stem: f"checkpoints/{path.stem}.md" for path in shipped_checkpoints()[1:]}
CARDS[DEFAULT_MODEL] = "checkpoints/README.md"


@pytest.mark.parametrize(
    ("network", "page"), [(DEFAULT_MODEL, "README.md"), *sorted(CARDS.items())]
)
def test_the_tables_are_what_evaluate_measured(network: str, page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert page in PAGES
    assert "<!-- table plain -->" in text
    assert "<!-- table results -->" in text
    assert fill_page(ROOT / page, find_checkpoint(network)) == text
    assert NOT_MEASURED not in text
    figures = load_card(find_checkpoint(network))["utkface"]["tasks"]["age"]
    low, high = figures["intervals"]["mae"]
    mean = f"{figures['mae']:.2f} years ({low:.2f} to {high:.2f})"
    assert f"| {mean} | {figures['sd']:.2f} years |" in text
    assert "±" not in text  # which would read like an uncertainty
