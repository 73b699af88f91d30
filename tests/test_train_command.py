"""``agegenderemo train`` as a person meets it: help, refusals, folders, seeds, and the way on."""

import csv
import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
from small_training import FRACTIONS, ONE_EPOCH, TINY, changed
from synthetic import prepared_sets

from agegenderemo.cli import main, train_main
from agegenderemo.cli.train import next_steps
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.training import chain, seeds
from agegenderemo.training.console import epoch_line, seconds_left
from agegenderemo.training.folder import only_run
from agegenderemo.training.listing import listing
from agegenderemo.training.ranges import SETTINGS
from agegenderemo.training.recipes import RECIPES, Recipe, Step, get_recipe

QUICK = ["--recipe", "quick", f"--set=epoch_fractions={json.dumps(FRACTIONS)}",
         "--set=model=tiny", "--set=stages=[[32,1]]", "--set=batch=16"]  # fmt: skip
ONE = Recipe("one", "tests", (Step("only", ONE_EPOCH),))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def train(sets: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; its exit status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = train_main([*QUICK, "--prepared", str(sets), *arguments])
        return status, *capsys.readouterr()

    return run


def test_help_lists_recipes_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--continue N" in text
    assert listing() in text
    for recipe in RECIPES.values():
        assert f"  {recipe.name}: {recipe.purpose}" in text
    for name, setting in SETTINGS.items():
        if name not in ("stages.size", "stages.epochs"):
            assert f"\n  {name}" in text
            assert setting.purpose in text
    assert "  ema (a number, from 0 to below 1; 0.998): " in text
    assert "  loss_weights.NAME (a number, from 0 to 1000000; {}): " in text


@pytest.mark.slow
def test_a_run_says_what_it_does_and_is_not_overwritten(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    assert train("--out", out, "--resume")[0] == 2
    status, printed, said = train("--out", out)
    assert status == 0
    assert "tiny for age, gender, emotion: 1,690 parameters\non cpu: 1 process, " in said
    assert "faces: 48 training faces, 48 drawn an epoch, 6 for validation" in said
    assert "1 epoch of 9 steps of 16 faces" in said
    assert "epoch 1/1 at 32 px: loss " in said
    assert f"Weights: {out}/model.safetensors" in printed
    before = (tmp_path / "run/model.safetensors").read_bytes()
    ways = "--resume, keep it and choose another folder by --out, or remove it by --overwrite"
    for resume in ((), ("--resume",)):
        status, _, said = train("--out", out, "--set=learning_rate=0.01", *resume)
        assert status == 2
        assert "learning_rate was 0.002 there and is 0.01 now" in said
        assert ways in said
    for again in ((), ("--resume",)):
        status, _, said = train("--out", out, *again)
        assert status == 0
        assert "is finished already, and stays as it is" in said
    assert (tmp_path / "run/model.safetensors").read_bytes() == before
    status, _, said = train("--out", out, "--set=seed=9", "--overwrite")
    assert status == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() != before
    status, _, said = train("--out", out, "--set=seed=9", "--continue", "1")
    assert status == 0
    assert "goes on after epoch 1 of 2" in said
    assert train("--out", out, "--overwrite", "--continue", "1")[0] == 2


def test_two_runs_do_not_write_to_one_folder(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    with only_run(tmp_path / "run"):
        status, _, said = train("--out", str(tmp_path / "run"))
    assert status == 2
    assert f"Another process is training in {tmp_path}/run; wait for it, or choose" in said


def test_experiments_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = get_recipe("quick")
    names = {
        chain.folder_name(plain, plain.with_settings(settings))
        for settings in ([], ["seed=2"], ["seed=3"], ["seed=1"])  # the last is its own
    }
    assert len(names) == 3
    assert "quick" in names
    assert all(name.startswith("quick") for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set=race_weights={\"Asain\":9}"], "race_weights names 'Asain'"),
        (["--set=model=nonesuch"], "Unknown model 'nonesuch'"),
        (["--set=model_options.neck=linear"], "names 'neck'; tiny has no options"),
        (["--set=ema=2"], "ema must be from 0 to below 1"),
        (["--set=tasks=[{\"name\":\"x\"}]"], "no description of a task"),
        (["--set=learning_rate=1e30"], "no longer finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, _, said = train("--out", str(tmp_path / "run"), *arguments)
    assert status == 2
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "run/model.safetensors").exists()


def test_whole_numbers_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    for argument in ("--continue=0", "--seeds=many"):
        with pytest.raises(SystemExit):
            train_main([argument])
        assert "must be a whole number from 1" in capsys.readouterr().err
    with pytest.raises(AgeGenderEmoError, match="begins anew"):
        chain.Again(resume=True, overwrite=True)


def test_several_seeds_are_a_folder_each_and_a_table(
    train: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, printed, _ = train("--out", str(tmp_path), "--seeds", "2", "--set=seed=5")
    assert status == 0
    weights = [tmp_path / f"seed-{seed}/model.safetensors" for seed in (5, 6)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    with (tmp_path / "seeds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["seed-5", "seed-6"]
    values = [float(row["val_age_mae"]) for row in rows]
    with (tmp_path / "seed-6/history.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["val_age_mae"]) == values[1]
    assert f"age_mae: {mean(values):.4f} ± {stdev(values):.4f} (" in printed


def test_every_step_of_a_seed_is_of_that_seed() -> None:
    two = Recipe("two", "", (Step("a", TINY), Step("b", changed(TINY, seed=4), ("a",))))
    assert [step.config.seed for step in seeds.of_seed(two, 2).steps] == [3, 6]
    assert seeds.table({"seed-1": {"val_total": 1.0}}).endswith("total: 1.0000 ± unknown (1.0000)")


def test_a_line_an_epoch_says_what_was_kept_and_how_long_it_takes() -> None:
    config = changed(TINY, keep="best")
    line = {"epoch": 1, "size": 32, "train_total": 2.0, "val_total": 1.5, "train_age_mae": 9.0,
            "val_age_mae": 8.5, "train_gender_accuracy": 0.5, "val_gender_accuracy": 0.75,
            "val_emotion_accuracy_majority": 0.25, "seconds": 64.0}  # fmt: skip
    text = epoch_line([line], config, config.specs)
    assert text == (
        "epoch 1/3 at 32 px: loss 2.000, 1.500; age 9.00, 8.50 years; gender 50.0, 75.0 %; "
        "emotion -, 25.0 %; kept; 64 s, about 3 min left"
    )
    assert seconds_left([line], config) == 64 + 100
    worse = line | {"epoch": 2, "val_total": 1.6}
    assert "; epoch 1 stays kept; " in epoch_line([line, worse], config, config.specs)
    last = dataclasses.replace(config, keep="last")
    assert "; kept; " in epoch_line([line, worse], last, last.specs)


@pytest.mark.slow
def test_the_commands_that_a_run_ends_with_work(tmp_path: Path) -> None:
    sets = prepared_sets(tmp_path / "a folder", count=520)
    (sets / "faces").rename(sets / "my own")
    config = changed(ONE_EPOCH, model="agegendernet", epoch_fractions={"my own": 1.0})
    recipe = Recipe("one", "", (Step("one", config),))
    weights = chain.run(recipe, sets, tmp_path / "my run")
    lines = [line.strip() for line in next_steps(weights, sets).splitlines()[1:]]
    assert [line.partition(" --")[0].split()[-1] for line in lines] == [
        "calibrate", "evaluate", "app.py",
    ]  # fmt: skip
    assert "--split test" in lines[1]
    for line in lines[:2]:
        words = shlex.split(line)
        words = words[words.index("agegenderemo") + 1 :]
        command = [sys.executable, "-m", "agegenderemo", *words]
        subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    assert shlex.split(lines[2])[1:] == ["app.py", "--checkpoint", str(weights)]
    few = prepared_sets(tmp_path / "few", count=100)
    (few / "faces").rename(few / "my own")
    text = next_steps(weights, few)
    assert "no calibration: 10 validation faces are fewer than 50" in text
    assert " calibrate --prepared" not in text
