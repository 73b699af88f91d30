"""A recipe is run step by step: finished steps are skipped, a stopped one goes on, and one that
was run otherwise is refused."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from chain_run import THREE
from small_training import ONE_EPOCH, TINY, changed, public_weights, sets_with_pictures

from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.training.chain import run, step_folder
from agegenderemo.training.fit import History, Watch, fit
from agegenderemo.training.recipes import RECIPES, Recipe, Step

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
STEPS = ["first", "second", "third"]
SINGLE = Recipe("single", "tests", (Step("only", ONE_EPOCH),))


class Stop(Exception):
    """Ends a run where a test wants it."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sets_with_pictures(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public_weights(tmp_path_factory.mktemp("public") / "public.safetensors")


@pytest.fixture(scope="module")
def whole(sets: Path, public: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was left alone."""
    out = tmp_path_factory.mktemp("whole")
    assert run(THREE, sets, out, face_descriptor=public) == out / "third/model.safetensors"
    return out


def weights_of(out: Path, recipe: Recipe = THREE) -> dict[str, bytes]:
    return {
        step.name: (step_folder(recipe, step, out) / "model.safetensors").read_bytes()
        for step in recipe.steps
    }


def noted(seen: list[str], stop: tuple[str, int] | None = None) -> Callable[[Step, Path], Watch]:
    """Notes every epoch of every step, and ends the run after one."""

    def begin(step: Step, folder: Path) -> Watch:
        assert folder.name == step.name

        def watch(history: History, over: bool) -> None:
            if not over:
                seen.append(f"{step.name} {len(history)}")
                if (step.name, len(history)) == stop:
                    raise Stop

        return watch

    return begin


ALL = [f"{name} {epoch}" for name in STEPS for epoch in (1, 2, 3)]


def test_every_step_is_run_once_and_then_skipped(sets: Path, public: Path, whole: Path) -> None:
    seen: list[str] = []
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.*")}
    run(THREE, sets, whole, face_descriptor=public, watch=noted(seen))
    assert seen == []
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.*")} == before


@pytest.mark.parametrize(
    "stop",
    [
        ("first", 2),
        ("first", 3),
        ("second", 3),
        ("third", 1),
    ],
)
def test_a_stopped_step_goes_on_to_the_same_bits(
    sets: Path, public: Path, whole: Path, tmp_path: Path, stop: tuple[str, int]
) -> None:
    seen: list[str] = []
    with pytest.raises(Stop):
        run(THREE, sets, tmp_path, face_descriptor=public, watch=noted(seen, stop))
    run(THREE, sets, tmp_path, face_descriptor=public, watch=noted(seen))
    assert seen == ALL  # no epoch twice
    assert weights_of(tmp_path) == weights_of(whole)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_in_any_step_changes_nothing(
    sets: Path, public: Path, whole: Path, tmp_path: Path, step: str
) -> None:
    command = [sys.executable, str(ROOT / "tests/chain_run.py"), str(sets), str(tmp_path / "out")]
    command.append(str(public))
    kill_in(step, command, tmp_path / "out", wait=random.Random(step).uniform(0, 0.1))
    assert not (tmp_path / "out" / step / "finished.json").exists()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert weights_of(tmp_path / "out") == weights_of(whole)


def kill_in(step: str, command: list[str], out: Path, wait: float) -> None:
    """Start a chain and kill it while it trains a step, some seconds after that has begun."""
    log = out.with_suffix(".log").open("w+")
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    while not (out / step / "config.json").exists():
        assert process.poll() is None, out.with_suffix(".log").read_text()[-2000:]
        time.sleep(0.005)
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was over before it could be killed"


@pytest.mark.long
def test_the_chain_of_the_shipped_network_survives_a_kill_in_each_step(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    """The real recipe by the real command, on few and small faces."""
    recipe = RECIPES["agegendernet-v1"]
    fractions = json.dumps({"faces": 1, "moods": 1, "bands": 1})
    settings = (f"epoch_fractions={fractions}", "stages=[[32, 1]]", "batch=16")
    command = [sys.executable, "train.py", "--recipe", recipe.name, "--prepared", str(sets)]
    command += [f"--set={setting}" for setting in settings] + ["--teacher", str(public)]
    alone = [*command, "--out", str(tmp_path / "alone")]
    subprocess.run(alone, cwd=ROOT, check=True, capture_output=True)
    command += ["--out", str(tmp_path / "killed")]
    chance = random.Random(0)
    for step in recipe.steps:
        kill_in(step.name, command, tmp_path / "killed", wait=chance.uniform(0, 1))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    killed = weights_of(tmp_path / "killed", recipe)
    assert killed == weights_of(tmp_path / "alone", recipe)
    assert len(set(killed.values())) == len(recipe.steps)


def test_a_step_that_was_run_otherwise_is_refused(sets: Path, public: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(Stop):
        run(THREE, sets, tmp_path, face_descriptor=public, watch=noted(seen, ("third", 1)))

    def refused(match: str, recipe: Recipe = THREE, descriptor: Path = public) -> None:
        with pytest.raises(CheckpointError, match=match):
            run(recipe, sets, tmp_path, face_descriptor=descriptor, watch=noted(seen))

    before = list(seen)
    refused(
        r"first was trained with other settings: seed was 1 there and is 7 now",
        THREE.with_settings(["seed=7"]),
    )
    changes = {"third": changed(THREE.steps[2].config, clip=9.0)}
    steps = (
        Step(s.name, changes.get(s.name, s.config), s.begin_with, s.teachers) for s in THREE.steps
    )
    refused(
        r"third was trained with other settings: clip was 5.0 there and is 9.0 now",
        Recipe("three", "", tuple(steps)),
    )
    other = tmp_path / "other.safetensors"
    other.write_bytes(public.read_bytes() + b" ")
    refused("first was trained with other settings: teachers", descriptor=other)
    # Weights of a finished step that are others by now: the later ones would begin with them.
    with (tmp_path / "first/model.safetensors").open("ab") as file:
        file.write(b" ")
    refused("first/model.safetensors is not what the run in this folder ended with")
    assert seen == before


def test_a_step_without_its_weights_is_trained_again(
    sets: Path, public: Path, whole: Path, tmp_path: Path
) -> None:
    run(SINGLE, sets, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="remove the folder"):
        run(SINGLE, sets, tmp_path)
    (tmp_path / "state.pt").unlink()
    run(SINGLE, sets, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_recipe_of_one_step_has_no_folders(sets: Path, tmp_path: Path) -> None:
    assert run(SINGLE, sets, tmp_path) == tmp_path / "model.safetensors"
    assert (tmp_path / "model.onnx").is_file()


def test_the_first_step_may_begin_with_other_weights(sets: Path, tmp_path: Path) -> None:
    weights = fit(TINY, sets, tmp_path / "before")
    run(SINGLE, sets, tmp_path / "run", weights=weights)
    alone = run(SINGLE, sets, tmp_path / "alone")
    assert (tmp_path / "run/model.safetensors").read_bytes() != alone.read_bytes()
    with pytest.raises(CheckpointError, match="other settings: begin_with"):
        run(SINGLE, sets, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"no weights at .*nowhere"):
        run(SINGLE, sets, tmp_path / "new", weights=tmp_path / "nowhere.safetensors")


def test_files_that_are_missing_or_of_no_use_are_one_sentence(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="give its weights with --teacher"):
        run(THREE, sets, tmp_path)
    with pytest.raises(AgeGenderEmoError, match="has no teacher; leave out --teacher"):
        run(SINGLE, sets, tmp_path, face_descriptor=public)
    begins = Recipe("x", "", (Step("only", ONE_EPOCH, ("face_descriptor",)),))
    with pytest.raises(AgeGenderEmoError, match="leave out --weights"):
        run(begins, sets, tmp_path, face_descriptor=public, weights=public)
    assert not list(tmp_path.iterdir())
