"""The detector against facenet-pytorch's own, and on pictures that are hard for that."""

import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils import detect_face as library
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.detection import MtcnnDetector
from agegenderemo.detection.mtcnn import _cut
from agegenderemo.detection.nms import nms_min
from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.export.mtcnn import write_mtcnn
from agegenderemo.imaging.geometry import align, iou
from agegenderemo.imaging.load import load_image
from agegenderemo.imaging.resize import area_resize, summed_area
from agegenderemo.resources import resource_folder
from agegenderemo.runtime import Session
from agegenderemo.types import RGBImage

GRAPHS = ("mtcnn-pnet.onnx", "mtcnn-rnet.onnx", "mtcnn-onet.onnx")


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture(scope="module")
def astronaut(examples: Path) -> RGBImage:
    return load_image(examples / "astronaut.jpg")


def test_all_of_solvay_is_found_largest_first(detector: MtcnnDetector, examples: Path) -> None:
    image = load_image(examples / "solvay-1927.jpg")
    faces = detector.detect(image)
    assert len(faces) == 29
    areas = [face.area for face in faces]
    assert areas == sorted(areas, reverse=True)
    height, width = image.shape[:2]
    for face in faces:
        x1, y1, x2, y2 = face.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert 0.9 <= face.score <= 1
        eyes_y = (face.landmarks[0][1] + face.landmarks[1][1]) / 2
        mouth_y = (face.landmarks[3][1] + face.landmarks[4][1]) / 2
        assert y1 < eyes_y < mouth_y < y2 + 5
        assert face.landmarks[0][0] < face.landmarks[1][0]


def test_boxes_come_back_in_pixels_of_the_original(
    detector: MtcnnDetector, astronaut: RGBImage
) -> None:
    small = detector.detect(astronaut)[0]
    large = np.asarray(Image.fromarray(astronaut).resize((2048, 2048), Image.Resampling.BICUBIC))
    found = detector.detect(large, max_side=512)
    assert len(found) == 1
    assert iou(tuple(v / 4 for v in found[0].box), small.box) > 0.85  # type: ignore[arg-type]
    shift = np.asarray(found[0].landmarks) / 4 - np.asarray(small.landmarks)
    assert np.abs(shift).max() < 4


# --- the library's own -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def nets() -> Iterator[MTCNN]:
    with torch.inference_mode():
        yield MTCNN(keep_all=True).eval()


@pytest.mark.parametrize("part", ["solvay", "astronaut", "face", "face without a forehead"])
def test_the_library_finds_the_same(
    part: str,
    detector: MtcnnDetector,
    nets: MTCNN,
    astronaut: RGBImage,
    examples: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where a face fills the picture: boxes that reach over its edges tie there."""
    image = astronaut
    if part == "solvay":
        image = load_image(examples / "solvay-1927.jpg")[:500, :700]
    elif part != "astronaut":
        x1, y1, x2, y2 = (round(v) for v in detector.detect(astronaut)[0].box)
        y1 += 20 * (part != "face")
        image = np.asarray(Image.fromarray(astronaut[y1:y2, x1:x2]).resize((200, 200)))
    # The library leaves ties to an unstable sort; everything else is its own.
    monkeypatch.setattr(library, "nms_numpy", lambda b, s, t, method: nms_min(b, s, t))
    (boxes,), (points,) = library.detect_face(
        np.ascontiguousarray(image)[None], 20, nets.pnet, nets.rnet, nets.onet,
        nets.thresholds, 0.709, torch.device("cpu"),
    )  # fmt: skip
    mine = detector._search(np.ascontiguousarray(image), 20)
    assert len(mine[0]) == len(boxes) > 0
    assert mine[0] == pytest.approx(np.asarray(boxes[:, :4], np.float32), abs=0.01)
    assert mine[1] == pytest.approx(np.asarray(boxes[:, 4], np.float32), abs=1e-4)
    assert mine[2] == pytest.approx(np.asarray(points, np.float32), abs=0.01)


def test_the_shipped_graphs_are_the_libraries_weights(tmp_path: Path) -> None:
    assert main(["export", "--mtcnn", str(tmp_path)]) == 0
    written = sorted(tmp_path.iterdir())
    assert [path.name for path in written] == sorted(GRAPHS)
    for path in written:
        shipped = resource_folder("checkpoints") / path.name
        assert path.read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize("shape", [(2, 24, 24), (1, 37, 61)])
def test_pooling_before_the_activation_changes_no_bit(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agegenderemo.export.mtcnn.POOLED_FIRST", ())
    write_mtcnn(tmp_path)
    noise = np.random.default_rng(0).normal(0, 1, (shape[0], 3, *shape[1:])).astype(np.float32)
    for name in ("pnet", "rnet") if shape[1] == 24 else ("pnet",):
        plain = (tmp_path / f"mtcnn-{name}.onnx").read_bytes()
        quick = (resource_folder("checkpoints") / f"mtcnn-{name}.onnx").read_bytes()
        assert plain != quick
        for a, b in zip(Session(plain).run(noise), Session(quick).run(noise), strict=True):
            assert np.array_equal(a, b)


def test_a_box_outside_the_picture_shifts_no_row() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    boxes = np.array(
        [(0, 0, 20, 20), (60, 5, 80, 25), (-30, 3, -4, 20), (25, 30, 60, 70)], np.float32
    )
    there, crops = _cut(summed_area(image), boxes, 24)
    assert np.array_equal(there, boxes[[0, 3]])
    assert np.array_equal(crops[0], area_resize(image[0:20, 0:20], 24, 24))
    assert np.array_equal(crops[1], area_resize(image[29:40, 24:50], 24, 24))


# --- hard pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 1), (19, 19), (2, 20000), (20000, 2), (20, 20), (64, 64), (0, 9)]
)
def test_pictures_without_faces_give_an_empty_list(
    detector: MtcnnDetector, shape: tuple[int, int]
) -> None:
    assert detector.detect(np.full((*shape, 3), 120, np.uint8)) == []


@pytest.mark.parametrize("side", range(12, 60))
def test_a_picture_as_small_as_the_smallest_face_is_searched(
    detector: MtcnnDetector, side: int
) -> None:
    picture = np.full((side, side, 3), 120, np.uint8)
    assert detector.detect(picture, min_face_size=side) == []


def test_noise_is_no_face_and_no_error(detector: MtcnnDetector) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert detector.detect(noise) == []


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.7])
def test_faces_cut_by_the_border_raise_nothing(
    detector: MtcnnDetector, astronaut: RGBImage, keep: float
) -> None:
    x1, y1, x2, y2 = (int(v) for v in detector.detect(astronaut)[0].box)
    cut = int(x1 + keep * (x2 - x1))
    for image in (astronaut[y1:y2, :cut], astronaut[y1:y2, cut:], astronaut[: (y1 + y2) // 2]):
        for face in detector.detect(image):
            assert face.box[2] <= image.shape[1]


def test_no_face_is_found_in_nothing(detector: MtcnnDetector, astronaut: RGBImage) -> None:
    assert detector.detect(np.zeros_like(astronaut)) == []
    assert len(detector.detect(astronaut[:, ::-1])) == 1


def test_the_real_face_comes_out_upright(detector: MtcnnDetector, astronaut: RGBImage) -> None:
    straight = align(astronaut, detector.detect(astronaut)[0].landmarks, 128)
    turned = np.asarray(Image.fromarray(astronaut).rotate(25, Image.Resampling.BICUBIC))
    again = align(turned, detector.detect(turned)[0].landmarks, 128)
    middle = np.s_[32:112, 24:104]
    difference = straight[middle].astype(float) - again[middle].astype(float)
    correlation = np.corrcoef(straight[middle].ravel(), again[middle].ravel())[0, 1]
    assert correlation > 0.8, np.abs(difference).mean()


# --- following -------------------------------------------------------------------------------


def test_refining_finds_each_face_again_and_nothing_else(
    detector: MtcnnDetector, astronaut: RGBImage
) -> None:
    (face,) = detector.detect(astronaut)
    x1, y1, x2, y2 = face.box
    near = (x1 + 4, y1 - 3, x2 + 5, y2)
    empty, outside = (0.0, 400.0, 60.0, 460.0), (600.0, 600.0, 700.0, 700.0)
    found = detector.refine(astronaut, [empty, near, outside])
    assert found[0] is None
    assert found[2] is None
    assert found[1] is not None
    assert iou(found[1].box, face.box) > 0.75
    assert np.abs(np.subtract(found[1].landmarks, face.landmarks)).max() < 5
    alone = detector.refine(astronaut, [near])[0]
    assert alone is not None
    assert alone.box == pytest.approx(found[1].box, abs=0.01)


def test_nothing_to_refine_is_nothing(detector: MtcnnDetector, astronaut: RGBImage) -> None:
    assert detector.refine(astronaut, []) == []
    assert detector.refine(astronaut, [(9000.0, 0.0, 9100.0, 100.0)]) == [None]


# --- the object ------------------------------------------------------------------------------


def test_threads_may_share_a_detector(detector: MtcnnDetector, astronaut: RGBImage) -> None:
    sizes = [20, 40, 60, 80] * 2
    expected = [detector.detect(astronaut, min_face_size=size) for size in sizes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda s: detector.detect(astronaut, min_face_size=s), sizes))
    assert found == expected


def test_a_pickle_holds_the_options_and_the_folder(tmp_path: Path, astronaut: RGBImage) -> None:
    for name in GRAPHS:
        shutil.copy(resource_folder("checkpoints") / name, tmp_path)
    detector = MtcnnDetector(40, 400, 0.7, tmp_path)
    data = pickle.dumps(detector)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert (again.min_face_size, again.max_side, again.min_score) == (40, 400, 0.7)
    assert again.detect(astronaut) == detector.detect(astronaut)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(CheckpointError, match=r"mtcnn-pnet\.onnx cannot be read: No such file"):
        pickle.loads(data)


def test_a_damaged_graph_is_told_in_a_sentence(tmp_path: Path) -> None:
    for name in GRAPHS:
        (tmp_path / name).write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"mtcnn-pnet\.onnx is damaged"):
        MtcnnDetector(folder=tmp_path)


@pytest.mark.parametrize("harmed", GRAPHS)
def test_a_flipped_bit_in_the_graphs_of_the_package_is_told(
    harmed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in GRAPHS:
        shutil.copy(resource_folder("checkpoints") / name, tmp_path)
    monkeypatch.setattr("agegenderemo.detection.mtcnn.resource_folder", lambda _: tmp_path)
    MtcnnDetector()
    data = bytearray((tmp_path / harmed).read_bytes())
    data[len(data) // 2] ^= 1  # a weight, so that ONNX Runtime loads it
    (tmp_path / harmed).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{harmed} is damaged"):
        MtcnnDetector()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_face_size": 11}, "min_face_size must be at least 12 pixels, not 11"),
        ({"max_side": 0}, "max_side must be at least 12 pixels, not 0"),
        ({"min_score": 1.1}, "min_score must lie in 0 to 1, not 1.1"),
        ({"min_score": float("nan")}, "min_score must lie in 0 to 1, not nan"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(AgeGenderEmoError, match=sentence):
        MtcnnDetector(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["min_face_size", "max_side"])
def test_options_of_one_search_are_checked_too(
    option: str, detector: MtcnnDetector, astronaut: RGBImage
) -> None:
    with pytest.raises(AgeGenderEmoError, match=f"{option} must be at least 12 pixels, not 0"):
        detector.detect(astronaut, **{option: 0})
