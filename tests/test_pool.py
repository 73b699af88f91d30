"""Which faces an epoch draws: the share of each set, rare ages and emotions more often."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from synthetic import prepared_sets

from agegenderemo.dataset import PreparedSet
from agegenderemo.distributed import Team
from agegenderemo.pool import Pool, build_pool
from agegenderemo.recipes import TrainConfig

SHARES = {"faces": 1.0, "moods": 0.5, "bands": 2.0}


def pool_of(folder: Path, **changes: float | dict[str, float]) -> Pool:
    sets = tuple(PreparedSet.open(folder / name) for name in SHARES)
    config = dataclasses.replace(TrainConfig(shares=SHARES), **changes)  # type: ignore[arg-type]
    return build_pool(sets, folder, config, None, Team())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"), count=200)


def drawn(pool: Pool, seed: int) -> np.ndarray:
    return np.bincount(np.concatenate(pool.epoch(SHARES, 1, seed)), minlength=len(pool.row))


def test_an_epoch_draws_each_face_as_often_as_its_share_says(folder: Path) -> None:
    pool = pool_of(folder)
    counts = drawn(pool, 3)
    assert set(counts[pool.set_index == 0]) == {1}
    assert sorted(set(counts[pool.set_index == 1])) == [0, 1]
    assert counts[pool.set_index == 1].sum() == (pool.set_index == 1).sum() / 2
    assert set(counts[pool.set_index == 2]) == {2}


def test_epochs_differ_and_repeat(folder: Path) -> None:
    pool = pool_of(folder)
    first, again, other = (np.concatenate(pool.epoch(SHARES, 1, seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_rare_ages_are_drawn_more_often(folder: Path, power: float) -> None:
    pool = pool_of(folder, age_balance=power)
    ages = pool.targets.age_low.numpy()
    faces = pool.set_index == 0
    decade = (ages // 10).astype(int)
    counts = sum(drawn(pool, seed) for seed in range(200))
    assert counts[faces].sum() == 200 * faces.sum()  # the share of the set stays
    per_decade = np.array([counts[faces & (decade == d)].sum() for d in range(8)])
    size = np.array([(faces & (decade == d)).sum() for d in range(8)])
    expected = size ** (1 - power)
    assert per_decade / per_decade.sum() == pytest.approx(expected / expected.sum(), rel=0.02)


def test_rare_emotions_are_drawn_more_often(folder: Path) -> None:
    pool = pool_of(folder, emotion_balance=1.0)
    moods = pool.set_index == 1
    glad = pool.targets.emotion[:, 4].numpy() == 1
    counts = sum(drawn(pool, seed) for seed in range(200))
    assert counts[moods & glad].sum() == pytest.approx(counts[moods & ~glad].sum(), rel=0.02)


def test_races_are_drawn_as_often_as_the_recipe_says(folder: Path) -> None:
    pool = pool_of(folder, race_weights={"White": 3.0})
    faces = pool.set_index == 0
    races = np.array([pool.sets[0].samples[row].group for row in pool.row[faces]])
    assert 0 < (races == "White").sum() < len(races)
    counts = sum(drawn(pool, seed) for seed in range(200))[faces]
    assert counts.sum() == 200 * faces.sum()
    often, once = counts[races == "White"].mean(), counts[races != "White"].mean()
    assert often / once == pytest.approx(3, rel=0.05)
