"""What several test files share: example photos, the real data where it is, the shipped network."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before torch is imported, here and in what tests start: two processes of tests with two threads
# each would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from agegenderemo import Analyzer

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def examples() -> Path:
    """Folder of the photos that the repository ships."""
    return EXAMPLES


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real data sets; the test is skipped, saying so, where it is not given."""
    folder = os.environ.get("AGEGENDEREMO_DATA")
    if not folder:
        pytest.skip("AGEGENDEREMO_DATA is not set: the real data sets are not at hand")
    return Path(folder)


@pytest.fixture(scope="session")
def analyzer() -> "Analyzer":
    """The shipped checkpoint behind the real detector."""
    from agegenderemo import Analyzer

    return Analyzer.from_checkpoint()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests stay in one process: those of a file, whose fixtures they share, and all that a
    browser drives, for there is one server and one Chromium. What takes long comes first, or one
    process would end with it while the other has nothing to do."""
    groups = {
        item: "browser" if item.get_closest_marker("browser") else item.path.name for item in items
    }
    long = {
        group
        for item, group in groups.items()
        if item.get_closest_marker("browser") or item.get_closest_marker("slow")
    }
    items.sort(key=lambda item: groups[item] not in long)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item]))
