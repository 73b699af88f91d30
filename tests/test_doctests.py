"""The examples in the docstrings are what the code does."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import agegenderemo
from agegenderemo.resources import resource_folder

MODULES = sorted(
    {
        module.name
        for module in pkgutil.walk_packages(agegenderemo.__path__, "agegenderemo.")
        if not module.name.endswith("__main__")
    }
    | {"agegenderemo"}
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(resource_folder("examples").parent)
    module: ModuleType = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(module, optionflags=options).failed == 0


def test_there_are_examples() -> None:
    assert any(test.examples for test in doctest.DocTestFinder().find(agegenderemo))
