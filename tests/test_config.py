"""A configuration is checked against its own types, and told in one sentence."""

import dataclasses
from typing import Any

import pytest
from small_training import TINY

from agegenderemo.data.transforms import Augmentation
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6
from agegenderemo.training.config import DistillationWeights, Stage, TrainConfig, with_settings
from agegenderemo.training.ranges import SETTINGS
from agegenderemo.training.values import names_of

GLASSES: dict[str, Any] = {"name": "glasses", "kind": "binary", "classes": ["without", "with"]}


def test_settings_override_a_configuration() -> None:
    config = with_settings(
        TINY,
        [
            "loss_weights.age=0.5", "loss_weights.smile=0", "batch=8", "precision=float32",
            "stages=[[48,3]]", "augmentation.blur=1", "distillation.tasks.age=0.2",
            "distillation.distil_labelled_faces=true", "race_weights.fairface/Black=2",
            "regression_loss.age=mse",
        ],
    )  # fmt: skip
    assert config.loss_weights == TINY.loss_weights | {"age": 0.5, "smile": 0.0}
    assert config.stages == (Stage(48, 3),)
    assert (config.batch, config.precision) == (8, "float32")
    assert config.augmentation == dataclasses.replace(TINY.augmentation, blur=1.0)
    assert config.distillation.tasks["age"] == 0.2
    assert config.distillation.distil_labelled_faces
    assert config.race_weights == {"fairface/Black": 2.0}
    assert config.regression_loss == {"age": "mse"}
    assert TINY.batch == 16


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learningrate=1", "known are.*learning_rate"),
        ("augmentation.blurr=1", "known are.*augmentation.blur"),
        ("batch.size=1", "known are.*batch"),
        ("batch", "NAME=VALUE"),
        ("batch=many", "batch must be a whole number, not 'many'"),
        ("batch=1.5", "batch must be a whole number"),
        ("batch=true", "batch must be a whole number"),
        ("batch=0", "batch must be from 2 to 65536, not 0"),
        ("drop_copies=1", "drop_copies must be true or false"),
        ("ema=high", "ema must be a number"),
        ("ema=1", "ema must be from 0 to below 1, not 1"),
        ("ema=2", "ema must be from 0 to below 1, not 2"),
        ("clip=NaN", "clip must be above 0, not nan"),
        ("learning_rate=-1", "learning_rate must be 0 or more, not -1"),
        ("learning_rate=Infinity", "learning_rate must be 0 or more, not inf"),
        ("weight_decay=" + "9" * 400, "weight_decay must be a number"),
        ("loss_weights.age=-1", r"loss_weights\.age must be from 0 to 1000000, not -1"),
        ("augmentation.blur=1.5", r"augmentation\.blur must be from 0 to 1, not 1\.5"),
        ("dropout_scale=2", "dropout_scale must be from 0 to below 2"),
        ("seed=-1", "seed must be from 0 to 2147483647, not -1"),
        ("epoch_fractions={}", "epoch_fractions must draw faces of one set at least"),
        ('epoch_fractions={"a":0}', "epoch_fractions must draw faces of one set"),
        ('race_weights={"Black":-1}', r"race_weights\.Black must be from 0 to 100, not -1"),
        ('probe_start={"age":[35,0]}', r"probe_start\.age must be .* a spread above 0"),
        ("batch=1", "batch must be from 2 to 65536, not 1"),
        ("regression_unit=1e-9", r"regression_unit must be from 0\.001 to 1000"),
        ("loss_weights.age=much", r"loss_weights\.age must be a number"),
        ("loss_weights.agee=1", "loss_weights names 'agee', but the tasks are age, gender"),
        ("distillation.tasks.hats=1", "distillation.tasks names 'hats'"),
        ("optimiser=sdg", "optimiser must be one of adamw, adam, muon, sgd, not 'sdg'"),
        ("momentum=1", "momentum must be from 0 to below 1, not 1.0"),
        ("regression_loss.age=l3", r"regression_loss\.age must be one of l1, mse"),
        ("stages=[[8]]", "stages must be a mapping of size, epochs, or a list of them"),
        ("stages=[[8,1]]", r"stages\.size must be from 32 to 1024, not 8"),
        ("stages=[[32,0]]", r"stages\.epochs must be from 1 to 10000, not 0"),
        ('stages=[["32",1]]', r"stages\.size must be a whole number"),
        ("stages=[]", "stages must be a list, and not empty"),
        ("stages=3", "stages must be a list"),
        ("stages=" + "[" * 100_000, "stages must be a list"),
        ('tasks=["hat"]', "Unknown task 'hat'; known are age"),
        ('tasks=["age","age"]', "Two tasks are named 'age'"),
        ("tasks=[3]", "tasks must be a text or a mapping"),
        ('probe_start={"age":[1]}', r"probe_start\.age must be a list of 2"),
        ("augmentation.mixup=0.5", r"augmentation\.mixup wants online_distillation"),
    ],
)
def test_what_cannot_be_is_one_sentence(setting: str, message: str) -> None:
    with pytest.raises(AgeGenderEmoError, match=message) as caught:
        with_settings(TINY, [setting])
    assert str(caught.value).count("\n") == 0


def test_every_setting_has_a_purpose_and_every_number_a_range() -> None:
    parts = {"stages.size": int, "stages.epochs": int}
    assert set(SETTINGS) == {*(n.removesuffix(".NAME") for n in names_of(TrainConfig)), *parts}
    for name, value in TINY.to_dict().items():
        if type(value) in (int, float):
            assert SETTINGS[name].words, name
    for one in SETTINGS.values():
        assert one.purpose


def test_a_setting_of_a_part_that_is_no_mapping_is_one_sentence() -> None:
    with pytest.raises(AgeGenderEmoError, match="augmentation must be a mapping"):
        with_settings(TINY, ["augmentation=3", "augmentation.blur=1"])


def test_a_saved_configuration_comes_back() -> None:
    config = TrainConfig(
        tasks=("age", GLASSES),
        stages=(Stage(48, 1), Stage(64, 2)),
        loss_weights={"glasses": 2},
        probe_start={"age": (35, 20)},
        augmentation=Augmentation(blur=0),
    )
    saved = config.to_dict()
    assert saved["stages"] == [{"size": 48, "epochs": 1}, {"size": 64, "epochs": 2}]
    assert saved["loss_weights"] == {"glasses": 2.0}
    assert type(saved["augmentation"]["blur"]) is float  # whole numbers do not make another run
    assert TrainConfig.from_dict(saved) == config
    with pytest.raises(AgeGenderEmoError, match="Unknown setting 'shares'; known are model"):
        TrainConfig.from_dict(saved | {"shares": {}})
    with pytest.raises(AgeGenderEmoError, match=r"Unknown setting 'distillation\.age'"):
        TrainConfig.from_dict({"distillation": {"age": 1}})


def test_tasks_are_names_or_whole_specs() -> None:
    assert TINY.specs == DEFAULT_TASKS
    config = with_settings(TINY, ['tasks=["age", "emotion6"]'])
    assert config.specs == (AGE, EMOTION6)
    # A recipe's weights of tasks that this run leaves out are of no effect.
    assert config.loss_weights == TINY.loss_weights
    own = TrainConfig(tasks=(GLASSES,), loss_weights={"glasses": 1})
    assert [spec.classes for spec in own.specs] == [("without", "with")]


def test_values_of_the_wrong_type_never_make_a_configuration() -> None:
    with pytest.raises(AgeGenderEmoError, match="keep must be one of last, best"):
        TrainConfig(keep="first")  # type: ignore[arg-type]
    with pytest.raises(AgeGenderEmoError, match=r"distillation\.features must be a number"):
        TrainConfig(distillation=DistillationWeights(features="no"))  # type: ignore[arg-type]


def test_sizes_by_epoch() -> None:
    assert TINY.epochs == 3
    assert [TINY.size_at(epoch) for epoch in range(4)] == [32, 32, 40, 40]
