"""Several networks in one app: where their pages are, and the links between them."""

import re
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from other_networks import NETWORKS, write_network
from pages import ASTRONAUT, serving

from agegenderemo import Analyzer
from agegenderemo.errors import CheckpointError
from agegenderemo.resources import DEFAULT_MODEL, default_checkpoint, shipped_checkpoints
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import Store
from agegenderemo.web.networks import choice_html, open_networks, places_of

pytest_plugins = ["web_fixtures"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    path = tmp_path_factory.mktemp("network") / "My network (2).safetensors"
    return Analyzer.from_checkpoint(write_network(path, NETWORKS["six emotions and age"]))


@pytest.fixture(scope="module")
def two(analyzer: Analyzer, small: Analyzer, store: Store) -> Iterator[str]:
    with serving([analyzer, small], store) as url:
        yield url


def test_each_network_has_a_place_of_its_own(analyzer: Analyzer, small: Analyzer) -> None:
    first, second, third = places_of([analyzer, small, small])
    assert (first.name, first.path, first.endpoint) == (DEFAULT_MODEL, "", "analyze")
    assert (second.name, second.path) == ("My network (2)", "with-my_network_2")
    assert second.endpoint == "analyze_with_my_network_2"
    assert third.slug == "my_network_2_2"


def test_networks_of_two_runs_go_by_their_folders(tmp_path: Path) -> None:
    """Their files are named alike."""
    both = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        weights = write_network(tmp_path / run / "model.safetensors", NETWORKS["age and glasses"])
        both.append(Analyzer.from_checkpoint(weights))
    places = places_of(both)
    assert [one.name for one in places] == ["first/model", "second/model"]
    assert places[1].path == "with-second_model"
    assert "<b>second/model</b>" in choice_html(places, both, places[0])
    assert len({one.slug for one in places_of(both * 60)}) == 120


def test_links_lead_to_the_others(analyzer: Analyzer, small: Analyzer) -> None:
    both = [analyzer, small]
    places = places_of(both)
    html = choice_html(places, both, places[1])
    assert re.findall(r'<a href="([^"]+)"( aria-current=page)?>', html) == [
        ("./", ""),
        ("with-my_network_2", " aria-current=page"),
    ]
    assert "age off by 4.7 years, 9.4 million parameters" in html
    assert "<b>My network (2)</b> 0.0 million parameters" in html
    assert choice_html(places[:1], both[:1], places[0]) == ""


def test_every_page_has_its_own_tasks(two: str) -> None:
    usual, other = (httpx.get(two + path).text for path in ("", "with-my_network_2"))
    assert "eight emotions" in usual
    assert "six emotions" not in usual
    assert "six emotions" in other
    assert "eight emotions" not in other
    assert 'api_name=\\"/analyze_with_my_network_2\\"' in other.replace("&quot;", '\\"')


def test_the_lines_to_copy_name_the_network_of_their_page(
    analyzer: Analyzer, small: Analyzer, store: Store
) -> None:
    components = build_demo([analyzer, small], store).get_config_file()["components"]
    usual, other = (
        unescape(one["props"]["value"])
        for one in components
        if one["props"].get("elem_id") == "code-page"
    )
    assert "from_checkpoint()" in usual
    assert "--model" not in usual
    assert 'from_checkpoint("My network (2).safetensors")' in other
    assert "--model 'My network (2).safetensors'" in other


@pytest.mark.parametrize(
    "path", ["with-other", "with-", "with-my_network_2/", "with-..", "with-my_network_2/config"]
)
def test_no_other_page_is_there(two: str, path: str) -> None:
    assert httpx.get(two + path).status_code == 404


def test_each_is_called_by_its_own_name(two: str, analyzer: Analyzer, small: Analyzer) -> None:
    with closing(Client(two, verbose=False)) as client:
        for name, own in (("/analyze", analyzer), ("/analyze_with_my_network_2", small)):
            record = client.predict(handle_file(ASTRONAUT), api_name=name)
            assert record["network"] == own.network
            assert list(record["faces"][0]["emotions"]) == list(
                next(spec.classes for spec in own.tasks if spec.name == "emotion")
            )


def test_an_app_of_one_network_is_one_page(analyzer: Analyzer, store: Store) -> None:
    config = build_demo(analyzer, store).get_config_file()
    assert [page[0] for page in config["pages"]] == [""]
    assert "<nav" not in str(config["components"][0]["props"]["value"])


def test_without_a_name_all_that_come_with_the_package_are_opened() -> None:
    opened = open_networks((), "float")
    assert [one.origin and one.origin.path for one in opened] == shipped_checkpoints()
    assert shipped_checkpoints()[0] == default_checkpoint()
    assert open_networks((), "int8")[0].network["precision"] == "int8"


def test_named_networks_are_opened_in_their_order(small: Analyzer) -> None:
    assert small.origin is not None
    one, other = open_networks([small.origin.path, DEFAULT_MODEL], "float")
    assert [one.network["model"], other.network["model"]] == ["My network (2)", DEFAULT_MODEL]
    (alone,) = open_networks(small.origin.path, "float")
    assert alone.network == small.network
    with pytest.raises(CheckpointError, match="No network named 'nothing'"):
        open_networks(["nothing"], "float")


def test_a_named_network_must_have_the_precision(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.safetensors", NETWORKS["age and glasses"])
    with pytest.raises(CheckpointError):
        open_networks(path, "int8")
