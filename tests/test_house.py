"""House rules that can be counted: short files, nothing written twice, tasks are data."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from agegenderemo.tasks import VOCABULARY, TaskSpec

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "agegenderemo"
SUFFIXES = {".py", ".js", ".css"}
LONGEST = 399  # lines
ALIKE = 12  # lines that two files may not share

PLACES = ("agegenderemo", "benchmarks", "browser", "tests")
SOURCES = sorted(
    path
    for folder in (*(ROOT / place for place in PLACES), ROOT)
    for path in (folder.glob("*.py") if folder == ROOT else folder.rglob("*"))
    if path.suffix in SUFFIXES
)

# Where tasks are data's own home: specs, readers of data sets, recipes; and where it must be
# written out: the conveniences of a face, and the colours that known classes have.
HOMES = ("tasks/", "data/readers/", "training/recipes", "types.py", "imaging/palette.py")

# Words that prose and other code need as well.
COMMON = frozenset({"age", "ages", "neutral"})


def words_of(specs: Iterable[TaskSpec]) -> frozenset[str]:
    """Names of tasks, one and many, and classes of one word: of "with glasses" and "no smile" the
    name of the task alone is a word that prose does without."""
    words = {word for spec in specs for word in (spec.name, f"{spec.name}s", *spec.classes)}
    return frozenset(word for word in words if " " not in word) - COMMON


TASK_WORDS = words_of(VOCABULARY.values())
STRINGS = frozenset({"age", "ages", "neutral"})
"""Common words that may not stand as data: as a string of their own, or a part of a key."""
PAGE_STRING = re.compile(r"""\.age\b|["'`](?:age|neutral)\w*["'`]""")
"""The same in a page's script."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def significant_lines(path: Path) -> list[str]:
    """Lines without blanks, blank ones left out."""
    lines = (" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def task_words(text: str) -> set[str]:
    """Words of tasks and classes in any text: ``happiness_share`` and ``Happiness`` count."""
    # The name of the product and of the network that it ships are names, not tasks.
    text = re.sub(r"agegender(emo|net)", "", text, flags=re.IGNORECASE)
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    return {word.lower() for word in re.findall(r"[A-Za-z]+", spaced)} & TASK_WORDS


def task_strings(source: str) -> set[str]:
    """String constants of Python code, docstrings apart, that name a task by a common word."""
    tree = ast.parse(source)
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in prose
        and re.fullmatch(r"\w+", node.value)
        and STRINGS & set(node.value.lower().split("_"))
    }


def test_the_walk_sees_the_sources() -> None:
    assert {path.suffix for path in SOURCES} == SUFFIXES
    assert len(SOURCES) > 80


@pytest.mark.parametrize("path", [p for p in SOURCES if p.suffix != ".css"], ids=name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_styles_are_split_by_page() -> None:
    sheets = [path for path in SOURCES if path.suffix == ".css"]
    assert len(sheets) >= 4
    assert max(len(sheet.read_text(encoding="utf-8").splitlines()) for sheet in sheets) <= LONGEST


def test_no_two_files_share_twelve_lines() -> None:
    seen: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in SOURCES:
        lines = significant_lines(path)
        for start in range(len(lines) - ALIKE + 1):
            seen[tuple(lines[start : start + ALIKE])].add(name(path))
    twins = {tuple(sorted(files)): window[0] for window, files in seen.items() if len(files) > 1}
    assert twins == {}


PAGES = sorted(
    path
    for path in (*PACKAGE.rglob("*"), ROOT / "app.py", ROOT / "train.py")
    if path.suffix in {*SUFFIXES, ".html"}
)
GENERAL = [
    path
    for path in PAGES
    if not (path.is_relative_to(PACKAGE) and path.relative_to(PACKAGE).as_posix().startswith(HOMES))
]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('spec = specs["emotion"]', {"emotion"}),
        ("# anger is red", {"anger"}),
        ("emotionColors", {"emotion"}),
        ("gender_sure = 1", {"gender"}),
        ("AgeGenderEmo", set()),
        ("a page of an image", set()),
    ],
)
def test_task_words_are_seen(text: str, words: set[str]) -> None:
    assert task_words(text) == words


def test_the_task_of_the_contributors_guide_forbids_no_common_word() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"GLASSES = (TaskSpec\(.*\))", guide)
    given = [part.value for part in ast.walk(ast.parse(line)) if isinstance(part, ast.Constant)]
    name, _, *classes = map(str, given)
    assert name == "glasses"
    assert words_of([TaskSpec(name, "binary", tuple(classes))]) == {"glasses", "glassess"}
    assert words_of(VOCABULARY.values()) >= {"gender", "emotion", "anger", "female", "smile"}


def test_common_words_are_seen_as_data() -> None:
    source = (
        '"""The age of a file."""\nx = row["age"], f"age_{y}", "age_mae", "of some age", "page"'
    )
    assert task_strings(source) == {"age", "age_", "age_mae"}
    assert PAGE_STRING.findall("face.age, face['age_low'], page.image") == [".age", "'age_low'"]


@pytest.mark.parametrize("path", GENERAL, ids=name)
def test_tasks_are_data(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert task_words(text) == set()
    found = task_strings(text) if path.suffix == ".py" else set(PAGE_STRING.findall(text))
    assert found == set()
