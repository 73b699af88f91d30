"""Tables of measured figures, and the pages that print them."""

from typing import Any

import pytest

from agegenderemo.tables import fill, history_table, tables

FIGURES: dict[str, Any] = {
    "utkface": {
        "data": "utkface", "split": "test", "n": 2456, "age_mae": 5.432, "age_sd": 6.1,
        "gender_accuracy": 0.9123, "age_coverage": 0.801, "age_width": 17.25,
        "adults": {"n": 1700, "age_mae": 5.0, "age_sd": 4.0, "gender_accuracy": 0.97},
        "gender_sure_share": 0.8, "gender_sure_accuracy": 0.98, "gender_calibration_error": 0.012,
        "bands": [{"band": "0-9", "n": 293, "age_mae": 2.0, "age_sd": 3.0, "gender_accuracy": 0.7}],
        "pipeline": {
            "n": 2456, "missed": 2,
            "pictures": {"age_mae": 5.5, "gender_accuracy": 0.91},
            "crops": {"age_mae": 5.4, "gender_accuracy": 0.912},
        },
        "groups": [
            {"by": "race", "group": "A", "n": 90, "age_mae": [5, 4, 6],
             "gender_accuracy": [0.9, 0.8, 0.95]},
            {"by": "race", "group": "B", "n": 80, "age_mae": [4, 3, 5],
             "gender_accuracy": [0.95, 0.9, 0.99]},
        ],
    },
    "ferplus": {
        "data": "ferplus", "split": "test", "n": 3573, "emotion_accuracy_majority": 0.82,
        "emotion_n_majority": 3153, "emotion_accuracy_argmax": 0.79, "emotion_n_argmax": 3546,
        "confusion": [[3, 0, 0, 0, 1, 0, 0, 0], *[[0] * 8] * 7],
    },
}  # fmt: skip


def test_tables_print_what_was_measured() -> None:
    made = tables(FIGURES)
    assert made["results"].rows[0] == (
        "UTKFace, test", "2,456", "5.43 ± 6.10 years", "91.2 %", "", "",
    )  # fmt: skip
    assert made["results"].rows[1][0].endswith("ages 21 to 60")
    assert made["results"].rows[2][4] == "82.0 % of 3,153"
    assert made["emotions"].rows[0] == ("anger", "4", "75.0 %", "100.0 %")
    assert made["emotions"].rows[1] == ("contempt", "0", "", "never said")
    assert "holds 80.1 %" in made["bands"].note
    assert "labelled A is right 5.0 points less often" in made["utkface-groups"].note
    assert made["utkface-groups"].rows[0][4] == "90.0 % (80.0 to 95.0)"
    assert made["pipeline"].rows[0][1:] == ("2,454 of 2,456", "5.50 years", "91.0 %")


def test_goals_say_how_far_each_figure_is() -> None:
    rows = {row[0]: row[1:] for row in tables(FIGURES)["goals"].rows}
    assert rows["UTKFace, age"] == (
        "5.43 years",
        "missed by 0.53 years",
        "4.90 years",
        "4.20 years",
    )
    assert rows["UTKFace, gender"] == ("91.2 %", "missed by 2.3 points", "93.5 %", "96.5 %")
    assert rows["UTKFace 21 to 60, gender"][1] == "met; 1.0 points from the aim"
    assert rows["UTKFace 0 to 9, age"][1] == "met; 0.20 years from the aim"
    assert rows["UTKFace, gap between races"] == ("5.0 points", "met", "5.0 points", "")
    assert "FairFace, gender" not in rows
    better = {**FIGURES["utkface"], "age_mae": 4.2}
    assert tables({"utkface": better})["goals"].rows[0][2] == "met, the aim too"
    better["bands"] = [{**better["bands"][0], "age_coverage": 0.73, "age_coverage_predicted": 0.82}]
    assert tables({"utkface": better})["goals"].rows[-1][2] == "missed by 1.0 points"


def test_what_was_not_measured_has_no_table() -> None:
    assert tables({}) == {}
    assert "fairface-groups" not in tables(FIGURES)


def test_pages_are_filled_between_markers() -> None:
    page = "before\n<!-- table bands -->\nold\n<!-- end -->\nafter\n"
    made = tables(FIGURES)
    once = fill(page, made)
    assert once.startswith("before\n<!-- table bands -->\n| age |")
    assert once.endswith("average.\n<!-- end -->\nafter\n")
    assert fill(once, made) == once
    with pytest.raises(ValueError, match="no figures for the table 'nothing'"):
        fill("<!-- table nothing -->\n<!-- end -->\n", made)


def test_a_history_has_a_row_an_epoch() -> None:
    row = {
        "epoch": "1", "size": "64", "train_total": "6.1234", "utkface_age_mae": "5.6",
        "utkface_gender_accuracy": "0.9", "ferplus_emotion_accuracy_majority": "0.8",
        "fairface_gender_accuracy": "0.85", "seconds": "910.1",
    }  # fmt: skip
    assert history_table([row, row | {"seconds": "14.5"}]).rows == (
        ("1", "64", "6.12", "5.60", "90.0 %", "80.0 %", "85.0 %", "15"),
        ("1", "64", "6.12", "5.60", "90.0 %", "80.0 %", "85.0 %", "0.2"),
    )
