"""Recipes are data: what they hold, and what holds them together."""

import dataclasses
import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from small_training import FRACTIONS, public_weights, sets_with_pictures

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.training.chain import run, step_folder
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.recipes import FACE_DESCRIPTOR, RECIPES, Recipe, Step, get_recipe
from agegenderemo.training.start import check_model

TRAINING_FACES = {"utkface": 17_468, "ferplus": 27_709, "fairface": 37_998, "ffhq": 58_331}
"""Of the prepared sets, as the records in docs/zoo count them."""


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_can_be_run(recipe: Recipe) -> None:
    assert get_recipe(recipe.name) is recipe
    assert recipe.purpose
    for step in recipe.steps:
        check_model(step.config)
        assert TrainConfig.from_dict(step.config.to_dict()) == step.config
        assert step.config.epochs > 0
        assert not step.config.online_distillation or set(step.teachers) - {FACE_DESCRIPTOR}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sets_with_pictures(tmp_path_factory.mktemp("sets"))


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_trains(recipe: Recipe, sets: Path, tmp_path: Path) -> None:
    """All its steps, on few and small faces."""
    few = (f"epoch_fractions={json.dumps(FRACTIONS)}", "stages=[[64, 1]]", "batch=16")
    public = public_weights(tmp_path / "public") if recipe.wants_face_descriptor else None
    # Crops that are there already are taken in the template of the recipe.
    short = recipe.with_settings([*few, "template=face"])
    last = run(short, sets, tmp_path / "run", face_descriptor=public)
    for step in short.steps:
        path = step_folder(short, step, tmp_path / "run") / "model.safetensors"
        info = load_checkpoint(path).info
        weights = step.config.loss_weights
        taught = not step.config.distillation.skip_unweighted
        wanted = [
            s for s in step.config.specs if weights.get(s.name, 1) or (step.teachers and taught)
        ]
        assert info.tasks == tuple(wanted), step.name
        assert info.model == step.config.model
    assert last == path


def drawn(config: TrainConfig) -> float:
    """How many faces a run sees."""
    sizes = {name: TRAINING_FACES[name] for name in config.epoch_fractions}
    if config.match_largest:
        sizes = dict.fromkeys(sizes, max(sizes.values()))
    return config.epochs * sum(sizes[n] * part for n, part in config.epoch_fractions.items())


def test_the_docs_name_the_recipes_without_a_teacher_and_count_their_faces() -> None:
    text = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    without = re.split(r"without a teacher: |want none", text)[1]
    named = re.findall(r"`([^`]+)`", without)
    assert {
        name for name in RECIPES if any(fnmatch(name, one.replace("…", "*")) for one in named)
    } == {recipe.name for recipe in RECIPES.values() if not recipe.wants_face_descriptor}
    table = text[text.index("| recipe | faces |") :].partition("\n\n")[0]
    rows = re.findall(r"(?m)^\| (`.+?`)(?:, a step)? \| ([0-9,]+) \|", table)
    counted = [(name, faces) for names, faces in rows for name in re.findall(r"`([^`]+)`", names)]
    assert len(counted) == len({name for name, _ in counted})
    for name, faces in counted:
        for step in RECIPES[name].steps:
            assert int(faces.replace(",", "")) == pytest.approx(drawn(step.config), rel=0.02), name


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(
        AgeGenderEmoError, match="'fifth'; known are quick, agegendernet-v1, ffhq, mobileone-edge"
    ):
        get_recipe("fifth")


def test_the_shipped_chain_is_the_one_that_made_the_weights() -> None:
    """What each step began with, and who taught it, as the log has it."""
    chain = get_recipe("agegendernet-v1")
    assert chain.wants_face_descriptor
    public = FACE_DESCRIPTOR
    mixup = (public, "teacher-128", "stronger-augmentation")
    assert {step.name: (step.begin_with, step.teachers) for step in chain.steps} == {
        "small-faces": ((), (public,)),
        "rare-ages": (("small-faces",), (public,)),
        "larger-faces": (("rare-ages",), (public,)),
        "muon": (("larger-faces",), (public,)),
        "stronger-augmentation": (("muon",), (public, "muon")),
        "teacher-128": ((public,), (public,)),
        "short-mixup": (("stronger-augmentation",), mixup),
        "long-mixup": (("stronger-augmentation", "short-mixup"), mixup),
        "teacher-176": ((public,), (public,)),
        "shipped": (("long-mixup",), (public, "teacher-176", "long-mixup")),
    }


def test_its_settings_are_those_of_the_runs() -> None:
    """Some numbers of each, from the files of the runs themselves."""
    steps = {step.name: step.config for step in get_recipe("agegendernet-v1").steps}
    assert steps["small-faces"].stages == (Stage(48, 5), Stage(64, 7))
    assert steps["small-faces"].loss_weights == {"age": 0.1, "gender": 1.0, "emotion": 1.5}
    assert steps["rare-ages"].balance == {"age": 0.5, "emotion": 0.15}
    assert steps["larger-faces"].learning_rate == 8e-4
    assert (steps["muon"].optimiser, steps["muon"].batch) == ("muon", 256)
    assert steps["stronger-augmentation"].augmentation.erase_size == 0.4
    assert steps["teacher-128"].model == "mobilenet_v1_face"
    assert steps["teacher-128"].distillation.tasks["age"] == 0
    assert steps["short-mixup"].augmentation.mixup == 0.6
    assert steps["long-mixup"].dropout_scale == 0.15
    assert steps["teacher-176"].stages == (Stage(176, 6),)
    last = steps["shipped"]
    assert (last.seed, last.ema, last.regression_unit) == (4, 0.998, 10.0)
    assert last.distillation.tasks == {"age": 0.15, "gender": 3.0, "emotion": 2.5}
    assert last.distillation.distil_labelled_faces
    assert last.loss_weights == {"age": 0.03, "gender": 0.3, "emotion": 0.3}


def test_the_ffhq_recipe_is_the_reports() -> None:
    (step,) = get_recipe("ffhq").steps
    recipe = step.config
    assert recipe.epochs == 30
    assert {recipe.size_at(epoch) for epoch in range(30)} == {224}
    assert (recipe.optimiser, recipe.learning_rate, recipe.weight_decay) == ("adam", 1e-4, 1e-5)
    assert (recipe.batch, recipe.clip, recipe.model) == (64, 1.0, "agegendernet")
    assert (recipe.schedule, recipe.plateau_factor, recipe.plateau_patience) == ("plateau", 0.5, 5)
    assert (recipe.early_stopping, recipe.keep, recipe.template) == (10, "best", "ffhq")
    assert recipe.loss_weights == {"age": 1.0, "gender": 10.0, "emotion": 5.0}
    assert recipe.regression_loss == {"age": "l1"}
    # The network as published, its dropout whole, and no help that the report did not have
    assert (recipe.dropout_scale, recipe.ema, recipe.regression_unit) == (1.0, 0.0, 1.0)
    assert not recipe.start_at_mean
    assert (step.begin_with, step.teachers) == ((), ())
    changes = dataclasses.asdict(recipe.augmentation)
    assert changes.pop("erase_size")  # of no effect: nothing is erased
    assert {name: value for name, value in changes.items() if value} == {
        "rotation": 10, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1,
    }  # fmt: skip


def test_settings_change_every_step() -> None:
    chain = get_recipe("agegendernet-v1").with_settings(["seed=7", "loss_weights.age=1"])
    assert {step.config.seed for step in chain.steps} == {7}
    assert {step.config.loss_weights["age"] for step in chain.steps} == {1.0}
    with pytest.raises(AgeGenderEmoError, match="Unknown setting"):
        chain.with_settings(["sed=7"])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "has no steps"),
        ((Step("a", TrainConfig(), ("b",)), Step("b", TrainConfig())), "'b', which is no earlier"),
        ((Step("a", TrainConfig(), teachers=("a",)),), "wants 'a'"),
        ((Step("a", TrainConfig()), Step("a", TrainConfig())), "Two steps"),
        ((Step(FACE_DESCRIPTOR, TrainConfig()),), "Two steps"),
    ],
)
def test_steps_that_do_not_fit_together(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(AgeGenderEmoError, match=message):
        Recipe("x", "for nothing", steps)
