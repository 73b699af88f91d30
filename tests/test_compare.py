"""Two networks face by face, and the page of all that were measured, by the commands."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from synthetic import prepared_sets
from tiny import GLASSES

from agegenderemo.cli import main
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import CheckpointError, DatasetError
from agegenderemo.evaluation.comparison import alone, compare_rows
from agegenderemo.evaluation.predictions import fields, read_rows, write_rows
from agegenderemo.export.onnx import set_record, whole_graph, write_checkpoint
from agegenderemo.files import sha256
from agegenderemo.inference.graph import graph_file
from agegenderemo.model_info import HASH_KEY, ModelInfo
from agegenderemo.models import create_model
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.report import Report, flat, load_card, zoo_page, zoo_tables
from agegenderemo.resources import find_checkpoint, resource_folder
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6, GENDER, TaskSpec
from agegenderemo.types import InputSpec

ROOT = Path(__file__).parent.parent
SETS = ("faces", "moods", "bands")
SHIPPED = sorted(path.stem for path in resource_folder("checkpoints").glob("*.safetensors"))


def network(path: Path, tasks: tuple[TaskSpec, ...], seed: int) -> Path:
    torch.manual_seed(seed)
    recipe = {"seed": seed, "loss_weights": {"age": 0.5}}
    info = ModelInfo("tiny", tasks, InputSpec(32), recipe=recipe)
    write_checkpoint(path, create_model("tiny", tasks), info)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two measured networks: ``a`` of eight emotions, ``b`` of six and without a gender."""
    folder = tmp_path_factory.mktemp("compare")
    prepared_sets(folder / "sets", count=200)
    for name, tasks, seed in (("a", DEFAULT_TASKS, 1), ("b", (AGE, EMOTION6), 2)):
        path = network(folder / f"{name}.safetensors", tasks, seed)
        options = ["--checkpoint", str(path), "--predictions", str(folder / f"{name}.csv")]
        out = ["--json", str(folder / "zoo" / f"{name}.json"), "--latency"]
        assert main(["evaluate", *data(folder), *options, *out, "--split", "all"]) == 0
    return folder


def data(folder: Path) -> list[str]:
    return ["--data", *SETS, "--root", str(folder / "sets")]


def measured(folder: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "zoo" / f"{name}.json").read_text())
    return record


def test_a_row_a_face_gives_the_figures(folder: Path) -> None:
    rows = read_rows(folder / "a.csv")
    assert tuple(rows[0]) == fields(DEFAULT_TASKS)
    assert len(rows) == len({(row["set"], row["file"]) for row in rows}) == 600
    figures = measured(folder, "a")["figures"]
    faces = [row for row in rows if row["set"] == "faces"]
    errors = [abs(float(row["age"]) - float(row["age_true"])) for row in faces]
    assert np.mean(errors) == pytest.approx(figures["faces"]["tasks"]["age"]["mae"], abs=1e-12)
    right = np.mean([row["gender"] == row["gender_true"] for row in faces])
    assert right == pytest.approx(figures["faces"]["tasks"]["gender"]["accuracy"], abs=1e-12)
    moods = [row for row in rows if row["set"] == "moods"]
    right = np.mean([row["emotion"] == row["emotion_true"] for row in moods])
    assert right == figures["moods"]["tasks"]["emotion"]["accuracy_majority"]
    for row in moods[:3]:
        shares = [float(v) for k, v in row.items() if k.startswith("emotion_probability_")]
        assert len(shares) == 8
        assert sum(shares) == pytest.approx(1)
        assert row["age_true"] is row["gender_true"] is row["emotion_confident"] is None
    bands = [row for row in rows if row["set"] == "bands"]
    inside = [
        float(r["age_true_low"]) <= float(r["age"]) < float(r["age_true_high"]) for r in bands
    ]
    assert np.mean(inside) == figures["bands"]["tasks"]["age"]["band_accuracy"]
    low, high = (float(bands[0][f"age_true_{end}"]) for end in ("low", "high"))
    assert (high - low, bands[0]["crop"]) == (10, "detected")


def test_checkpoints_and_their_predictions_compare_alike(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (str(folder / f"{name}.safetensors") for name in "ab")
    out = tmp_path / "out.json"
    assert main(["compare", a, b, *data(folder), "--split", "all", "--json", str(out)]) == 0
    text = capsys.readouterr().out
    found = json.loads(out.read_text())["differences"]
    assert [(own["set"], own["task"], own["figure"]) for own in found] == [
        ("faces", "age", "mae"),
        ("moods", "emotion", "accuracy_majority"),
        ("moods", "emotion", "accuracy_argmax"),
        ("bands", "age", "band_accuracy"),
    ]
    for own in found:
        for side, name in (("first", "a"), ("second", "b")):
            figure = measured(folder, name)["figures"][own["set"]]["tasks"][own["task"]]
            assert own[side] == pytest.approx(figure[own["figure"]], abs=1e-12)
        assert own["n"] == 200
        assert own["interval"][0] <= own["difference"] <= own["interval"][1]
    assert "95 % interval" in text
    assert f"{found[0]['difference']:+.2f}" in text
    from_files = compare_rows(*(read_rows(folder / f"{name}.csv") for name in "ab"))
    assert [own["n"] for own in from_files] == [own["n"] for own in found]
    assert [own["share"] for own in from_files] == [own["share"] for own in found]
    mixed = ["compare", a, str(folder / "b.csv"), "--data", "moods", "--split", "all"]
    assert main([*mixed, "--root", str(folder / "sets")]) == 0
    assert "faces" not in capsys.readouterr().out.split("\n", 3)[3].split("Paired")[0]


def row(file: str, **cells: Any) -> dict[str, Any]:
    return {"set": "s", "file": file, **cells}


def classes(*names: str) -> dict[str, Any]:
    return {f"mood_probability_{name}": 0.5 for name in names}


def test_only_faces_whose_class_both_know_are_compared() -> None:
    few, many = classes("sad", "glad", "calm"), classes("sad", "glad", "calm", "bored")
    first = [row(str(i), mood_true=true, mood="sad", **few) for i, true in enumerate(["sad"] * 3)]
    second = [row(str(i), mood_true="sad", mood="bored", **many) for i in range(3)]
    for rows, known in ((first, few), (second, many)):
        rows.append(row("3", mood_true="bored", mood="sad", **known))
        rows.append(row("4", mood_true=None, mood="sad", **known))
    (own,) = compare_rows(first, [*second, row("5", mood_true="sad", mood="sad", **many)])
    assert (own["figure"], own["n"], own["first"], own["second"]) == ("accuracy_majority", 3, 1, 0)


def test_faces_of_one_picture_are_told_apart_by_their_boxes() -> None:
    def answers(*said: str, **cells: str) -> list[dict[str, Any]]:
        known = {"mood_true": "sad", **classes("sad", "glad"), **cells}
        return [row("a", box=box, mood=mood, **known) for box, mood in zip("12", said, strict=True)]

    (own,) = compare_rows(answers("sad", "glad"), answers("sad", "sad"))
    assert (own["n"], own["first"], own["second"]) == (2, 0.5, 1)
    assert alone(answers("sad", "glad"), answers("sad", "sad")[:1]) == (1, 0)
    older = [{k: v for k, v in answers("sad", "sad")[0].items() if k != "box"}]
    assert alone(older, answers("sad", "sad")[:1]) == (0, 0)


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ([row("b", mood_true="x", mood="x")], "no face in common"),
        ([row("a", mood_true="y", mood="x")], "name other labels of mood for s/a"),
        ([row("a", other_true="y", other="x")], "no task in common"),
        ([row("a", mood_true="x", mood="x")] * 2, "stands twice"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    second: list[dict[str, Any]], sentence: str
) -> None:
    known = classes("x", "y", "z")
    with pytest.raises(DatasetError, match=sentence):
        compare_rows(
            [row("a", mood_true="x", mood="x", **known)], [{**one, **known} for one in second]
        )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["{folder}/a.safetensors"], "Give two networks"),
        (["{folder}/a.safetensors", "{folder}/b.safetensors"], "Give --data and --root"),
        (["{folder}/a.csv", "{folder}/page.csv"], "holds no predictions"),
        (["{folder}/a.csv", "{folder}/long.csv"], "more cells than there are columns"),
        (["{folder}/a.csv", "{folder}/wide.csv"], "field larger than field limit"),
        (["--zoo", "{folder}/sets"], "holds no measured network"),
        (["--zoo", "."], "Give --out with the page"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "page.csv").write_text("a,b\n1,2\n")
    (folder / "long.csv").write_text("set,file\nfaces,1.png,more\n")
    (folder / "wide.csv").write_text(f"set,file\nfaces,{'x' * 200_000}\n")
    assert main(["compare", *(option.format(folder=folder) for option in options)]) == 2
    assert sentence in capsys.readouterr().err


def test_parquet_holds_the_same(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    rows = read_rows(folder / "a.csv")
    write_rows(path, rows, fields(DEFAULT_TASKS))
    assert read_rows(path) == rows


def test_predictions_have_an_ending_that_is_known(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *data(folder), "--predictions", "a.xlsx"]) == 2
    assert ".csv or .parquet files, not 'a.xlsx'" in capsys.readouterr().err


def test_a_record_says_whose_figures_they_are(folder: Path) -> None:
    record = measured(folder, "a")
    assert (record["name"], record["model"], record["seed"]) == ("a", "tiny", 1)
    assert record["parameters"] > 100
    assert len(record["recipe_sha256"]) == len(record["weights_sha256"]) == 64
    assert record["recipe_sha256"] != measured(folder, "b")["recipe_sha256"]
    assert record["machine"]["processor"]
    assert record["date"].count("-") == 2
    assert record["size_mb"]["float"] > 0
    assert 0 < record["latency_ms"]["float"] < 1000
    assert set(record["figures"]) == set(SETS)
    assert Report(record["figures"]["faces"]).interval(("tasks", "age", "mae"))


def test_a_record_keeps_the_figures_of_other_sets(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    for name, seed, sets in (("a", 1, ["faces", "moods"]), ("c", 3, ["moods"])):
        path = network(tmp_path / f"{name}.safetensors", DEFAULT_TASKS, seed)
        asked = ["--root", str(folder / "sets"), "--checkpoint", str(path), "--json", str(out)]
        for data in sets:
            assert main(["evaluate", "--data", data, *asked]) == 0
        assert set(json.loads(out.read_text())["figures"]) == set(sets)


def test_a_graph_that_answers_alike_differs_by_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole float graph in place of a quantised one."""
    path, out = tmp_path / "a.safetensors", tmp_path / "a.json"
    for file in folder.glob("a.*"):
        shutil.copy(file, tmp_path)
    asked = ["--checkpoint", str(path), "--int8", "--json", str(out), "--latency"]
    assert main(["evaluate", *data(folder), *asked]) == 2
    assert "There is no int8 graph at" in capsys.readouterr().err
    checkpoint = load_checkpoint(path)
    graph = onnx.load_from_string(whole_graph(checkpoint.model, checkpoint.info))
    record = json.loads(graph.metadata_props.pop().value)
    set_record(graph, record | {"precision": "int8", HASH_KEY: sha256(path.read_bytes())})
    graph_file(path, "int8").write_bytes(graph.SerializeToString())
    assert main(["evaluate", *data(folder), *asked]) == 0
    assert "B: int8" in capsys.readouterr().out
    record = json.loads(out.read_text())
    assert record["latency_ms"]["int8"] > 0
    assert record["size_mb"]["int8"] > 0
    found = {(own["set"], own["task"]): own for own in record["int8_differences"]}
    assert found["faces", "age"]["difference"] == pytest.approx(0, abs=1e-3)
    assert found["moods", "emotion"]["first"] == found["moods", "emotion"]["second"]


def test_the_zoo_is_a_page_with_a_row_a_network(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = tmp_path / "zoo"
    (zoo / "study").mkdir(parents=True)
    for source, target in (("a", "a"), ("b", "b"), ("b", "study/age-only")):
        (zoo / f"{target}.json").write_bytes((folder / "zoo" / f"{source}.json").read_bytes())
    (zoo / "sources.json").write_text(json.dumps({"b": "6.33 years"}))
    record = measured(folder, "a") | {
        "size_mb": {"float": 2.0, "int8": 0.5}, "latency_ms": {"float": 4.5, "int8": 1.2},
    }  # fmt: skip
    (zoo / "a.json").write_text(json.dumps(record))
    made = zoo_tables(zoo)
    models = made["models"]
    rows = [dict(zip(models.head, cells, strict=True)) for cells in models.rows]
    assert [one["network"] for one in rows] == ["a", "b"]
    assert (rows[0]["MB, int8"], rows[0]["ms, int8"], rows[1]["MB, int8"]) == ("0.5", "1.2", "")
    assert rows[0]["tasks"] == "age, gender, emotion (8)"
    assert rows[1]["tasks"] == "age, emotion (6)"
    assert rows[1]["faces gender"] == ""  # it has no such task
    mae = record["figures"]["faces"]["tasks"]["age"]["mae"]
    assert rows[0]["faces age, mean absolute error"].startswith(f"{mae:.2f} years (")
    assert rows[1]["the source reports"] == "6.33 years"
    study = dict(zip(made["study"].head, made["study"].rows[0], strict=True))
    assert (study["study"], study["weight of age"], study["weight of emotion"]) == (
        "age-only", "0.5", "1",
    )  # fmt: skip
    assert [cells[0] for cells in made["provenance"].rows] == ["a", "b", "age-only"]
    assert main(["compare", "--zoo", str(zoo)]) == 0
    page = zoo.with_suffix(".md")
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert "Not measured" not in text
    page.write_text(text.replace("# The zoo", "# Mine"))
    assert zoo_page(zoo, page).startswith("# Mine")  # words of a page stay
    (zoo / "c.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is no record of a measured network"):
        zoo_tables(zoo)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": None}, {"recipe": {"loss_weights": {"age": "much"}}}, {"tasks": [{}]},
        {"parameters": "many"}, {"machine": None}, {"commit": 5}, {"date": None},
        {"size_mb": [1]}, {"latency_ms": {"float": "quick"}}, {"model": None},
        {"figures": {"s": {"data": "s", "split": "test", "n": 1, "tasks": {"age": {
            "kind": "regression", "mae": None, "unit": "years"}}}}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["x.json", "study/x.json"])
def test_a_damaged_record_is_one_sentence(
    folder: Path, tmp_path: Path, change: dict[str, Any], where: str
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / where).write_text(json.dumps(measured(folder, "a") | change))
    with pytest.raises(CheckpointError, match=r"x\.json is damaged: .*; measure again\.$"):
        zoo_tables(tmp_path)


def test_json_that_is_no_record_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(measured(folder, "a")))
    (tmp_path / "sources.json").write_text('{"a": 5}')
    with pytest.raises(CheckpointError, match=r"sources\.json is damaged: it maps names to texts"):
        zoo_tables(tmp_path)
    (tmp_path / "sources.json").write_text('{"a":' * 100_000)
    with pytest.raises(CheckpointError, match=r"sources\.json is damaged"):
        zoo_tables(tmp_path)


def test_the_committed_page_is_that_of_the_committed_records() -> None:
    page = ROOT / "docs" / "zoo.md"
    assert zoo_page(page.with_suffix(""), page) == page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_zoo_has_the_shipped_weights_with_the_figures_of_their_card(name: str) -> None:
    weights = find_checkpoint(name)
    record = json.loads((ROOT / "docs" / "zoo" / f"{name}.json").read_text(encoding="utf-8"))
    assert record["weights_sha256"] == sha256(weights.read_bytes())
    card = load_card(weights)
    assert record["figures"].keys() == card.keys() - {"goals"}
    for data, figures in record["figures"].items():
        assert flat(figures) == pytest.approx(flat(card[data]), abs=1e-9), data


def test_a_network_of_unknown_tasks_is_compared_too(folder: Path, tmp_path: Path) -> None:
    """Answers without labels are kept, and say nothing about right and wrong."""
    path = network(tmp_path / "c.safetensors", (GLASSES, GENDER), 3)
    out = tmp_path / "c.csv"
    options = ["--checkpoint", str(path), "--predictions", str(out), "--split", "all"]
    assert main(["evaluate", *data(folder), *options]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {one["glasses_true"] for one in rows} == {""}
    found = compare_rows(read_rows(folder / "a.csv"), read_rows(out))
    assert [(own["set"], own["figure"]) for own in found] == [
        ("faces", "accuracy"), ("bands", "accuracy"),
    ]  # fmt: skip
    moods = PreparedSet.open(folder / "sets" / "moods")
    assert len(rows) == 400 + len(moods.samples)
