from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agegenderemo import Analyzer, Face
from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from agegenderemo.dataset import CROP_SIZE
from agegenderemo.detection.align import align
from agegenderemo.images import ImageError, iou, load_image
from agegenderemo.predictor import Predictor
from agegenderemo.tracking import Tracks


def test_every_kind_of_image_gives_the_same_faces(analyzer: Analyzer, examples: Path) -> None:
    path = examples / "astronaut.jpg"
    expected = analyzer.analyze(path)
    assert len(expected) == 1
    assert isinstance(expected[0], Face)
    for image in (str(path), path.read_bytes(), Image.open(path), load_image(path)):
        assert analyzer.analyze(image) == expected


def test_a_turned_photo_is_read_by_its_exif(
    analyzer: Analyzer, examples: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.open(examples / "astronaut.jpg").transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "a.png", exif=exif)
    assert analyzer.analyze(tmp_path / "a.png") == analyzer.analyze(examples / "astronaut.jpg")


def test_live_frames_are_read_like_photos(analyzer: Analyzer, examples: Path) -> None:
    photo = Image.open(examples / "astronaut.jpg").resize((480, 480))
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 80:560] = np.asarray(photo)
    _, ((number, live),) = analyzer.follow(frame, Tracks(), 0.0)
    (still,) = analyzer.analyze(frame)
    assert iou(live.box, still.box) > 0.8
    assert live.gender == still.gender
    assert abs(live.age - still.age) < 8
    assert number == 1
    assert analyzer.follow(np.zeros((480, 640, 3), np.uint8), Tracks(), 0.0)[1] == []


def test_threads_may_share_an_analyzer(analyzer: Analyzer, examples: Path) -> None:
    image = load_image(examples / "astronaut.jpg")
    expected = analyzer.analyze(image)[0].to_dict()
    with ThreadPoolExecutor(4) as pool:
        for (face,) in pool.map(analyzer.analyze, [image] * 8):
            assert face.age == pytest.approx(expected["age"], abs=0.02)
            assert face.emotion == expected["emotion"]


def test_bad_images_raise_a_sentence(analyzer: Analyzer) -> None:
    with pytest.raises(ImageError, match="not an image"):
        analyzer.analyze(b"hello")


def test_the_card_says_what_was_measured(analyzer: Analyzer) -> None:
    assert analyzer.card["parameters"] == 9_365_552
    assert analyzer.card["figures"]["utkface"]["n"] == 2456


def test_a_photo_and_its_mirror_image_look_alike(analyzer: Analyzer, examples: Path) -> None:
    image = load_image(examples / "astronaut.jpg")
    crop = torch.from_numpy(align(image, analyzer.analyze(image)[0].landmarks, CROP_SIZE))[None]
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    predictor = Predictor(checkpoint.model, checkpoint.input)
    (straight,) = predictor.predict(crop)
    (mirrored,) = predictor.predict(crop.flip(2))
    assert mirrored.age == pytest.approx(straight.age, abs=1e-3)
    assert mirrored.emotions == pytest.approx(straight.emotions, abs=1e-4)
    (once,) = predictor.predict(crop, mirror=False)
    (other,) = predictor.predict(crop.flip(2), mirror=False)
    assert once.age != other.age
    assert (once.age + other.age) / 2 == pytest.approx(straight.age, abs=1e-3)
