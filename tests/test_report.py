"""The record of measured figures, its tables and its text, and the pages that print them."""

import csv
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from agegenderemo.cli import main
from agegenderemo.errors import CheckpointError
from agegenderemo.files import sha256
from agegenderemo.report import (
    Goal,
    Report,
    Table,
    card_tables,
    check_card,
    fill,
    flat,
    history_table,
    load_card,
    plain_sentences,
    print_text,
    tables,
    update_card,
)
from agegenderemo.report.table import NOT_MEASURED
from agegenderemo.report.tables import is_known
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import EMOTION

ROOT = Path(__file__).parent.parent
GOALS: list[dict[str, Any]] = load_card(default_checkpoint())["goals"]

UTKFACE: dict[str, Any] = {
    "data": "utkface", "split": "test", "n": 2456,
    "tasks": {
        "age": {"kind": "regression", "unit": "years", "mae": 5.432, "sd": 6.1, "coverage": 0.801,
                "width": 17.25, "intervals": {"mae": [5.2, 5.67]}},
        "gender": {"kind": "binary", "classes": ["female", "male"], "n": 2456, "accuracy": 0.9123,
                   "intervals": {"accuracy": [0.901, 0.923]},
                   "calibration_error": 0.012, "confident_share": 0.8,
                   "selective_accuracy": 0.98},
    },
    "adults": {"by": "age", "n": 1700,
               "tasks": {"age": {"mae": 5.0, "sd": 4.0}, "gender": {"accuracy": 0.97}}},
    "bands": [{"by": "age", "band": "0-9", "n": 293, "n_predicted": 290,
               "tasks": {"age": {"mae": 2.0, "sd": 3.0}, "gender": {"accuracy": 0.7}}}],
    "pipeline": {
        "n": 2456, "missed": 2,
        "pictures": {"tasks": {"age": {"mae": 5.5}, "gender": {"accuracy": 0.91}}},
        "crops": {"tasks": {"age": {"mae": 5.4}, "gender": {"accuracy": 0.912}}},
    },
    "groups": [
        {"by": "race", "group": "A", "n": 90,
         "tasks": {"age": {"mae": [5, 4, 6]}, "gender": {"accuracy": [0.9, 0.8, 0.95]}}},
        {"by": "race", "group": "B", "n": 80,
         "tasks": {"age": {"mae": [4, 3, 5]}, "gender": {"accuracy": [0.95, 0.9, 0.99]}}},
    ],
    "disparities": [{"by": "race", "task": "gender", "interval": [0.004, 0.096], "chance": 0.031,
                     "share": 0.12}],
}  # fmt: skip
FERPLUS: dict[str, Any] = {
    "data": "ferplus", "split": "test", "n": 3573,
    "tasks": {
        "emotion": {"kind": "categorical", "classes": list(EMOTION.classes),
                    "accuracy_majority": 0.82, "n_majority": 3153, "accuracy_argmax": 0.79,
                    "n_argmax": 3546, "confusion": [[3, 0, 0, 0, 1, 0, 0, 0], *[[0] * 8] * 7]},
    },
}  # fmt: skip
CARD = {"goals": GOALS, "ferplus": FERPLUS, "utkface": UTKFACE}


def test_tables_print_what_was_measured() -> None:
    made = tables(CARD)
    assert list(made) == [
        "results", "goals", "bands", "emotion-classes", "confident", "utkface-groups", "pipeline",
    ]  # fmt: skip
    assert made["results"].head == (
        "test set", "faces", "age, mean absolute error",
        "age, standard deviation of absolute errors", "gender", "emotion, majority",
        "emotion, argmax",
    )  # fmt: skip
    assert made["results"].rows[0] == (
        "UTKFace, test", "2,456", "5.43 years (5.20 to 5.67)", "6.10 years",
        "91.2 % (90.1 to 92.3)", "", "",
    )  # fmt: skip
    assert made["results"].rows[1][0].endswith("ages 21 to 60")
    assert made["results"].rows[2][5] == "82.0 % of 3,153"
    assert "95 % bootstrap intervals" in made["results"].note
    assert "±" not in "".join(table.markdown() for table in made.values())
    assert made["emotion-classes"].rows[0] == ("anger", "4", "75.0 %", "100.0 %")
    assert made["emotion-classes"].rows[1] == ("contempt", "0", "", "never said")
    assert "holds 80.1 %" in made["bands"].note
    assert made["confident"].rows == (
        ("gender, UTKFace, test", "91.2 % (90.1 to 92.3)", "80.0 %", "98.0 %", "1.2 %"),
    )
    assert "fitted" not in made["confident"].note
    assert (
        "labelled A is right 5.0 points (0.4 to 9.6) less often than that of faces labelled B; "
        "were all groups read alike, chance alone would show 3.1 points on average, and this much "
        "in 12.0 % of draws."
    ) in made["utkface-groups"].note
    assert made["utkface-groups"].rows[0][4] == "90.0 % (80.0 to 95.0)"
    assert made["pipeline"].rows[0][1:] == ("2,454 of 2,456", "5.50 years", "91.0 %")


def test_goals_say_how_far_each_figure_is() -> None:
    rows = {row[0]: row[1:] for row in tables(CARD)["goals"].rows}
    assert rows["UTKFace, age"] == (
        "5.43 years (5.20 to 5.67)",
        "missed by 0.53 years",
        "4.90 years",
        "4.20 years",
    )
    assert rows["UTKFace, gender"] == (
        "91.2 % (90.1 to 92.3)", "missed by 2.3 points", "93.5 %", "96.5 %",
    )  # fmt: skip
    assert rows["UTKFace 21 to 60, gender"][1] == "met; 1.0 points from the aim"
    assert rows["UTKFace 0 to 9, age"][1] == "met; 0.20 years from the aim"
    assert rows["UTKFace, disparity between races"] == (
        "5.0 points (0.4 to 9.6)", "met", "5.0 points", "",
    )  # fmt: skip
    assert "FairFace, gender" not in rows
    better = deepcopy(UTKFACE)
    better["tasks"]["age"]["mae"] = 4.2
    assert tables({"goals": GOALS, "utkface": better})["goals"].rows[0][2] == "met, the aim too"
    better["bands"][0]["tasks"]["age"] |= {"coverage": 0.73, "coverage_predicted": 0.82}
    last = tables({"goals": GOALS, "utkface": better})["goals"].rows[-1]
    assert last[2] == "missed by 1.0 points"


def test_every_goal_of_the_shipped_card_is_measured() -> None:
    card = load_card(default_checkpoint())
    assert len(tables(card)["goals"].rows) == len(GOALS) == 12
    for values in GOALS:
        goal = Goal.from_dict(values)
        assert Report(card[goal.data]).read(goal.path) is not None, goal.name


def test_tasks_that_nobody_knows_have_their_columns() -> None:
    height = {"kind": "regression", "unit": "cm", "mae": 7.5, "sd": 4.0}
    glasses = {"kind": "binary", "classes": ["without", "with"], "n": 10, "accuracy": 0.75}
    own = {"data": "mine", "split": "val", "n": 10, "tasks": {"height": height, "glasses": glasses}}
    made = tables({"mine": own})
    assert list(made) == ["results"]
    assert made["results"].head[2::2] == ("height, mean absolute error", "glasses")
    assert made["results"].rows == (
        ("mine, validation slice", "10", "7.50 cm", "4.00 cm", "75.0 %"),
    )
    assert flat(own) == {"height_mae": 7.5, "height_sd": 4.0, "glasses_accuracy": 0.75}
    assert "height_mae                   7.50 cm" in print_text(own)


def test_what_was_not_measured_has_no_table() -> None:
    assert tables({}) == {}
    assert "fairface-groups" not in tables(CARD)


def test_a_record_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks tasks"):
        Report({"data": "a", "split": "test", "n": 1})
    with pytest.raises(ValueError, match="what kind of task"):
        Report({"data": "a", "split": "test", "n": 1, "tasks": {"age": {"mae": 1.0}}})


def test_the_text_has_every_figure() -> None:
    text = print_text(UTKFACE | {"training_faces": 12345, "validation": {"n": 7, "tasks": {}}})
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0].startswith("utkface test: 2,456 faces, of which this network was trained on 12")
    for line in (
        "age_mae 5.43 years (5.20 to 5.67)",
        "age_sd 6.10 years",
        "sd is the standard deviation of absolute errors: how far they lie apart",
        "in brackets: 95 % bootstrap intervals over faces",
        "age_coverage 80.10%",
        "gender_selective_accuracy 98.00%",
        "21 to 60 n 1,700 age 5.00 years, sd 4.00 gender 97.0%",
        "0-9 n 293 age 2.00 years, sd 3.00 gender 70.0%",
        "age_mae 5.50 years 5.40 years",
        "race A n 90 age MAE 5.00 (4.00 to 6.00) gender 90.0% (80.0% to 95.0%)",
        "largest disparity in gender accuracy by race: 5.0 points (0.4 to 9.6), A the worst, B the "
        "best; chance alone 3.1, this much in 12.0% of draws",
    ):
        assert line in lines
    assert "whole pictures (2 of 2,456 without a face found)" in text
    assert lines[-1] == "utkface val: 7 faces"
    confusion = [line.split() for line in print_text(FERPLUS).splitlines()[-8:]]
    assert confusion[0] == ["anger", "3", "0", "0", "0", "1", "0", "0", "0"]
    assert [row[0] for row in confusion] == [name[:9] for name in EMOTION.classes]


def test_tables_print_as_markdown_and_as_text() -> None:
    table = Table("Title", ("a", "long head"), (("1", "2"), ("three", "")), "A note.")
    assert (
        table.markdown() == "| a | long head |\n| --- | --- |\n| 1 | 2 |\n| three |  |\n\nA note.\n"
    )
    assert table.text() == "Title\n  a      long head\n  1      2\n  three\nA note."
    assert Table("t", ("a", "b"), (("", "1"),)).without_empty_columns().head == ("b",)
    with pytest.raises(ValueError, match="2 cells"):
        Table("t", ("a", "b"), (("1",),))


def test_a_name_cannot_break_a_row_of_markdown() -> None:
    table = Table("t", ("a", "b"), (("1 | 2\n3", "4"),))
    assert table.markdown() == "| a | b |\n| --- | --- |\n| 1 \\| 2 3 | 4 |\n"


def test_pages_are_filled_between_markers() -> None:
    page = "before\n<!-- table bands -->\nold\n<!-- end -->\nafter\n"
    made = tables(CARD)
    once = fill(page, made)
    assert once.startswith("before\n<!-- table bands -->\n| age |")
    assert once.endswith("average.\n<!-- end -->\nafter\n")
    assert fill(once, made) == once
    # One that a network could have, had it been measured there, is blank.
    other = "<!-- table fairface-groups -->\nold\n<!-- end -->\n"
    assert fill(other, made, is_known) == other.replace("old\n", NOT_MEASURED)


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("<!-- table nothing -->\n<!-- end -->\n", "No table is named 'nothing'"),
        ("# A page\n", "has no line '<!-- table NAME -->'"),
        ("<!-- table bands -->\nold\n", "has no line '<!-- end -->' below it"),
        ("<!-- table bands -->\n<!-- table goals -->\n<!-- end -->\n", "no line '<!-- end -->'"),
    ],
)
def test_a_page_that_cannot_be_filled_says_why(
    page: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, good = tmp_path / "page.md", tmp_path / "good.md"
    path.write_text(page)
    good.write_text("<!-- table results -->\n<!-- end -->\n")
    checkpoint = tmp_path / "a.safetensors"
    checkpoint.write_bytes(b"weights")
    update_card(checkpoint, "utkface", UTKFACE, sha256(b"weights"))
    assert main(["card", str(good), str(path), "--checkpoint", str(checkpoint)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert f"{path} cannot be filled" in error
    assert path.read_text() == page
    assert good.read_text().count("\n") == 2  # none is written before all can be


def test_a_card_keeps_the_figures_of_other_sets(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert load_card(path) == {}
    path.write_bytes(b"weights")
    digest = sha256(b"weights")
    (tmp_path / "a.json").write_text(json.dumps({"goals": GOALS, "fairface": {"age_mae": 1.0}}))
    update_card(path, "utkface", UTKFACE, digest)  # FairFace was measured by 0.1: it is left out
    update_card(path, "ferplus", FERPLUS, digest)
    assert load_card(path) == load_card(path, digest) == CARD
    assert json.loads((tmp_path / "a.json").read_text()) == {"weights_sha256": digest, **CARD}
    (tmp_path / "a.json").write_text("[1")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_card(path)


def test_figures_of_other_weights_are_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"weights")
    (tmp_path / "a.json").write_text(json.dumps({"goals": GOALS}))
    check_card(path)  # goals are of any weights
    update_card(path, "utkface", UTKFACE, sha256(b"weights"))
    check_card(path)
    path.write_bytes(b"weights, trained on")
    assert load_card(path) == {"goals": GOALS}
    assert card_tables(path) == {}
    with pytest.raises(CheckpointError, match=r"other weights than a\.safetensors, or"):
        check_card(path)
    with pytest.raises(CheckpointError, match="has changed while it was measured"):
        update_card(path, "ferplus", FERPLUS, sha256(b"weights"))
    update_card(path, "ferplus", FERPLUS, sha256(b"weights, trained on"))
    assert set(load_card(path)) == {"goals", "ferplus"}  # UTKFace was measured on the others
    # A card that does not say whose it is, is nobody's.
    (tmp_path / "a.json").write_text(json.dumps(CARD))
    assert load_card(path) == {"goals": GOALS}


def test_what_was_fitted_on_these_faces_is_told() -> None:
    made = tables({"fairface": UTKFACE | {"data": "fairface", "split": "val",
                                          "calibrated_here": True}})  # fmt: skip
    assert made["confident"].rows[0][0] == (
        "gender, FairFace, validation slice, fitted on these faces"
    )
    assert "fitted on the faces of FairFace, validation slice" in made["confident"].note
    assert "on the very faces that it was fitted on" in made["bands"].note
    text = print_text(UTKFACE | {"calibrated_here": True})
    assert "the calibration was fitted on these faces" in text


def test_training_faces_are_called_so() -> None:
    text = print_text(UTKFACE | {"split": "train", "training_faces": 2456})
    assert "on which this network was trained" in text.splitlines()[0]
    assert "training split" in print_text(UTKFACE | {"split": "train"}).splitlines()[0]
    made = tables({"utkface": UTKFACE | {"split": "train"}})
    assert made["results"].rows[0][0] == "UTKFace, training faces"


ROW = {
    "epoch": "1", "size": "64", "train_total": "6.1234", "train_age_mae": "7.0",
    "utkface_age_mae": "5.6", "utkface_age_sd": "5.0", "utkface_gender_accuracy": "0.9",
    "ferplus_emotion_accuracy_majority": "0.8", "fairface_age_band_accuracy": "0.5",
    "fairface_gender_accuracy": "0.85", "val_gender_accuracy": "0.7", "seconds": "910.1",
}  # fmt: skip


def test_a_history_has_a_row_an_epoch(tmp_path: Path) -> None:
    table = history_table([ROW, ROW | {"seconds": "14.5"}])
    assert table.head[3:] == (
        "UTKFace age MAE", "UTKFace gender", "FER+ emotion majority", "FairFace gender", "minutes",
    )  # fmt: skip
    assert table.rows == (
        ("1", "64", "6.12", "5.60", "90.0 %", "80.0 %", "85.0 %", "15"),
        ("1", "64", "6.12", "5.60", "90.0 %", "80.0 %", "85.0 %", "0.2"),
    )
    assert history_table([]).rows == ()
    for name in ("history", "history-before"):
        with (tmp_path / f"a.{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(ROW))
            writer.writeheader()
            writer.writerow(ROW)
    # A run on one set has no columns by set, and an epoch may lack a figure.
    one = {"epoch": "1", "size": "64", "train_total": "6.1", "val_age_mae": "", "seconds": ""}
    table_of_one = history_table([one, one | {"val_age_mae": "4.0"}])
    assert table_of_one.head[3] == "validation age MAE"
    assert [row[3:] for row in table_of_one.rows] == [("", ""), ("4.00", "")]
    made = card_tables(tmp_path / "a.safetensors")
    assert set(made) == {"history", "history-before"}
    assert made["history"] == history_table([ROW])


def test_plain_sentences_come_from_the_card_alone() -> None:
    """Errors rounded to the worse side, the widest gap of a task, nothing that was not measured."""
    tasks = {
        "age": {"kind": "regression", "unit": "years", "mae": 4.65},
        "gender": {"kind": "binary", "classes": ["female", "male"], "accuracy": 0.9435},
    }
    mood = {"kind": "categorical", "classes": ["a", "b"], "accuracy_majority": 0.8798}

    def groups(worst: float, by: str) -> list[dict[str, Any]]:
        return [
            {"by": by, "group": name, "n": 9, "tasks": {"gender": {"accuracy": [share, 0, 1]}}}
            for name, share in (("these_more", 0.95), ("those", worst))
        ]

    own = {"data": "fairface", "split": "val", "n": 9, "tasks": {"gender": tasks["gender"]}}
    near = {"data": "utkface", "split": "test", "n": 9, "tasks": tasks}
    card = {
        "utkface": {**near, "groups": groups(0.94, "race")},
        "ferplus": {"data": "ferplus", "split": "test", "n": 9, "tasks": {"mood": mood}},
        "fairface": {**own, "groups": groups(0.9, "race") + groups(0.92, "race, from 20 years")},
    }
    errors, gap = plain_sentences(card)
    assert errors == (
        "On faces that it has never seen: age off by 4.7 years on average; gender wrong for 1 in "
        "17; mood wrong for 1 in 8 where most raters agreed."
    )
    assert "FairFace's groups, gender is right least often for faces labelled those" in gap
    assert (
        "5.0 points less often than for those labelled these or more (3.0 among people from 20"
        in gap
    )
    assert plain_sentences({}) == ()
    assert plain_sentences({"utkface": {**near, "split": "train"}}) == ()


def test_the_runs_before_are_told_as_their_histories_end() -> None:
    """The card's table of the runs that are not shipped, against what they wrote."""
    page = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| \[(.+?)\]\(\.\./docs/histories/.+?\) (\|.+)\|$", re.MULTILINE)
    told = dict(row.findall(page))
    histories = sorted((ROOT / "docs" / "histories").glob("*.csv"))
    assert set(told) == {path.stem for path in histories}
    assert len(told) == 9
    for path in histories:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        table = history_table(rows)
        cells = [cell.strip() for cell in told[path.stem].strip("|").split("|")]
        assert cells == [str(len(rows)), *table.rows[-1][1:-1]]
