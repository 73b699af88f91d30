"""Suppression against plain loops and the libraries; of equal scores the earlier box wins."""

import numpy as np
import pytest
import torch
from facenet_pytorch.models.utils.detect_face import nms_numpy
from numpy.typing import NDArray
from torchvision.ops import nms as torchvision_nms

from agegenderemo.detection.nms import nms, nms_min

Floats = NDArray[np.float32]


def crowd(count: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    boxes = np.hstack((corner, corner + rng.uniform(5, 60, (count, 2))))
    scores = rng.permutation(count) / count  # no two are equal
    return boxes.astype(np.float32), scores.astype(np.float32)


def test_a_crowd_larger_than_one_block_is_the_libraries() -> None:
    boxes, scores = crowd(900, 7)
    theirs = torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.5)
    assert 128 < len(theirs) < 900
    assert nms(boxes, scores, 0.5).tolist() == theirs.tolist()
    kept = nms_min(boxes, scores, 0.9)
    assert 128 < len(kept) < 900
    assert kept.tolist() == nms_numpy(boxes, scores, 0.9, "Min").tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_without_ties_both_are_the_libraries(seed: int, threshold: float) -> None:
    boxes, scores = crowd(120, seed)
    theirs = torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert nms(boxes, scores, threshold).tolist() == theirs.tolist()
    kept = nms_min(boxes, scores, threshold)
    assert kept.tolist() == nms_numpy(boxes, scores, threshold, "Min").tolist()
    assert len(kept) < len(theirs) <= 120


@pytest.mark.parametrize("count", [2, 3, 4, 8, 17, 40, 300])
def test_of_equal_scores_the_earlier_box_wins(count: int) -> None:
    boxes = np.array([(k, 0, 900 + k, 100) for k in range(count)], np.float32)
    scores = np.full(count, 0.99, np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [0]
    assert nms_min(boxes, scores, 0.5).tolist() == [0]


def test_a_tie_behind_a_better_box_is_decided_the_same_way() -> None:
    boxes = np.array(
        [(0, 0, 10, 10), (50, 0, 60, 10), (51, 0, 61, 10), (0, 1, 10, 11), (90, 0, 99, 9)],
        np.float32,
    )
    scores = np.array([0.8, 0.7, 0.7, 0.8, 0.9], np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [4, 0, 1]
    assert nms_min(boxes, scores, 0.5).tolist() == [4, 0, 1]


def test_equal_scores_apart_stay_in_their_order() -> None:
    boxes = np.array([(40 * k, 0, 40 * k + 10, 10) for k in range(30)], np.float32)
    scores = np.full(30, 0.5, np.float32)
    assert nms(boxes, scores, 0.5).tolist() == list(range(30))
    assert nms_min(boxes, scores, 0.5).tolist() == list(range(30))


def test_a_box_inside_another_goes_by_the_smaller_area_alone() -> None:
    boxes = np.array([(0, 0, 100, 100), (40, 40, 60, 60)], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert nms(boxes, scores, 0.7).tolist() == [0, 1]
    assert nms_min(boxes, scores, 0.7).tolist() == [0]


def test_the_last_pixel_counts_in_the_smaller_area_alone() -> None:
    # Half of each is shared: 10 of 20 without the last pixel, 11 of 21 with it.
    boxes = np.array([(0, 0, 20, 20), (10, 0, 30, 20)], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert nms_min(boxes, scores, 0.51).tolist() == [0]
    assert nms_min(boxes, scores, 0.53).tolist() == [0, 1]
    assert nms(boxes, scores, 0.3).tolist() == [0]
    assert nms(boxes, scores, 0.34).tolist() == [0, 1]


def test_a_box_of_no_area_covers_nothing() -> None:
    boxes = np.array([(5, 5, 5, 5), (5, 5, 5, 5), (0, 0, 10, 10)], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [0, 1, 2]


def test_nothing_is_nothing() -> None:
    none = np.empty((0, 4), np.float32), np.empty(0, np.float32)
    for function in (nms, nms_min):
        assert function(*none, 0.5).tolist() == []
