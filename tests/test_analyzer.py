import multiprocessing
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import TASK_SETS

from agegenderemo import Analyzer, Face, FaceTracker, load_image
from agegenderemo.errors import CheckpointError, ImageError
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.imaging.geometry import iou
from agegenderemo.inference.analyzer import perhaps_no_face
from agegenderemo.inference.backends import Backend, OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.predictor import Predictor, preprocess
from agegenderemo.model_info import ModelInfo
from agegenderemo.models import create_model
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import GENDER, BinaryPrediction
from agegenderemo.types import Detection, InputSpec, RGBImage


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


def frame_of(examples: Path) -> RGBImage:
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 80:560] = np.asarray(Image.open(examples / "astronaut.jpg").resize((480, 480)))
    return frame


def test_live_frames_are_read_like_photos(analyzer: Analyzer, examples: Path) -> None:
    frame = frame_of(examples)
    (live,) = analyzer.tracker().update(frame, 0.0)
    (still,) = analyzer.analyze(frame)
    assert iou(live.face.box, still.box) > 0.8
    assert live.face.gender == still.gender
    assert abs(live.face.age - still.age) < 8
    assert live.track_id == 1
    assert analyzer.tracker().update(np.zeros((480, 640, 3), np.uint8), 0.0) == []


def test_threads_may_share_an_analyzer(analyzer: Analyzer, examples: Path) -> None:
    image = load_image(examples / "astronaut.jpg")
    expected = analyzer.analyze(image)[0]
    with ThreadPoolExecutor(4) as pool:
        for (face,) in pool.map(analyzer.analyze, [image] * 8):
            assert face == expected


def test_bad_images_raise_a_sentence(analyzer: Analyzer) -> None:
    with pytest.raises(ImageError, match="not an image"):
        analyzer.analyze(b"hello")


def test_the_card_says_what_was_measured(analyzer: Analyzer) -> None:
    assert analyzer.card["parameters"] == 9_365_552
    assert analyzer.card["figures"]["utkface"]["n"] == 2456
    assert analyzer.card["tasks"] == analyzer.tasks == analyzer.info.tasks
    assert {"name", "model", "size", "recipe", "provenance"} < set(analyzer.card)


class Recorder:
    """A backend that keeps what it was given."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.given: list[Any] = []

    def __call__(self, faces: Any) -> Any:
        self.given.append(faces)
        return self._backend(faces)


def test_a_photo_and_its_mirror_image_look_alike(analyzer: Analyzer, examples: Path) -> None:
    image = load_image(examples / "astronaut.jpg")
    crop = np.stack(analyzer.crops(image, analyzer.detector.detect(image)))
    mirror = np.ascontiguousarray(crop[:, :, ::-1])
    info, graph, weights, _ = read_graph(default_checkpoint())
    recorder = Recorder(OnnxBackend(graph, info, weights))
    predictor = Predictor(recorder, info)

    def read(crops: Any, **options: bool) -> Face:
        (predictions,) = predictor.predict(crops, **options)
        return Face(analyzer.detector.detect(image)[0], predictions)

    straight, mirrored = read(crop), read(mirror)
    assert mirrored.age == pytest.approx(straight.age, abs=1e-3)
    assert mirrored.emotions == pytest.approx(straight.emotions, abs=1e-4)
    assert [x.shape for x in recorder.given] == [(1, 3, 96, 96)] * 4
    once, other = read(crop, mirror=False), read(mirror, mirror=False)
    assert once.age != other.age
    assert (once.age + other.age) / 2 == pytest.approx(straight.age, abs=1e-3)
    assert predictor.predict(crop[:0]) == []


def test_faces_are_read_in_batches(
    analyzer: Analyzer, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    read = Analyzer.read

    def counted(self: Analyzer, crops: Sequence[RGBImage], *, mirror: bool) -> Any:
        counts.append(len(crops))
        return read(self, crops, mirror=mirror)

    monkeypatch.setattr(Analyzer, "read", counted)
    monkeypatch.setattr("agegenderemo.inference.analyzer._BATCH", 20)
    picture = load_image(examples / "solvay-1927.jpg")
    faces = analyzer.analyze(picture)
    assert counts == [20, len(faces) - 20]
    detections = [face.detection for face in faces]
    at_once = read(analyzer, analyzer.crops(picture, detections), mirror=True)
    for face, detection, predictions in zip(faces, detections, at_once, strict=True):
        assert face.age == pytest.approx(Face(detection, predictions).age, abs=1e-3)


def test_faces_are_made_what_the_network_wants_to_see() -> None:
    crops = np.full((2, 128, 128, 3), (255, 0, 51), np.uint8)
    spec = InputSpec(96, mean=(0.5, 0.0, 0.1), std=(0.5, 1.0, 0.1))
    x = preprocess(crops, spec)
    assert x.shape == (2, 3, 96, 96)
    assert x.dtype == np.float32
    for channel, value in enumerate((1.0, 0.0, 1.0)):
        assert x[:, channel] == pytest.approx(value, abs=1e-5)


def test_a_network_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = Analyzer.from_checkpoint("agegendernet")
    assert named.card["name"] == "agegendernet"
    with pytest.raises(CheckpointError, match=r"No network named 'other'.*only agegendernet"):
        Analyzer.from_checkpoint("other")
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        Analyzer.from_checkpoint("other.safetensors")
    with pytest.raises(ValueError, match="must be onnx or torch"):
        Analyzer.from_checkpoint(engine="tea")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="torch engine"):
        Analyzer.from_checkpoint(device="cuda")


def test_analyzer_and_tracker_go_to_another_process(analyzer: Analyzer, examples: Path) -> None:
    photo, frame = examples / "astronaut.jpg", frame_of(examples)
    tracker = analyzer.tracker(search_every=0.25)
    tracker.update(frame, 0.0)
    sent = pickle.dumps(tracker)
    assert len(sent) < 100_000  # no weights
    assert pickle.loads(sent).thresholds.search_every == 0.25
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(Analyzer.analyze, analyzer, photo)
        assert there.result() == analyzer.analyze(photo)
        followed = pool.submit(FaceTracker.update, tracker, frame, 0.1)
        assert followed.result() == pickle.loads(sent).update(frame, 0.1)
    assert [one.track_id for one in followed.result()] == [1]


def test_a_file_that_changed_on_the_way_is_one_sentence(tmp_path: Path) -> None:
    path, model = tmp_path / "net.safetensors", create_model("tiny", TASK_SETS["default"])
    info = ModelInfo("tiny", model.tasks, InputSpec(32))
    write_checkpoint(path, model, info)
    sent = pickle.dumps(Analyzer.from_checkpoint(path))
    assert pickle.loads(sent).card["name"] == "net"
    model.head_output("age").bias.data.add_(1)
    write_checkpoint(path, model, info)
    with pytest.raises(CheckpointError, match="has changed since"):
        pickle.loads(sent)


def test_an_analyzer_of_own_parts_is_not_sent(analyzer: Analyzer) -> None:
    with pytest.raises(TypeError, match="only an Analyzer from a checkpoint"):
        pickle.dumps(Analyzer(analyzer.detector, analyzer.predictor))


def test_photos_and_streams_need_no_torch(examples: Path) -> None:
    code = """
        import sys
        for name in ("torch", "torchvision", "facenet_pytorch", "onnx", "safetensors",
                     "matplotlib", "gradio", "plotly", "timm"):
            sys.modules[name] = None
        from agegenderemo import Analyzer, load_image
        from agegenderemo.errors import MissingExtraError
        image = load_image(sys.argv[1])
        analyzer = Analyzer.from_checkpoint()
        tracker = analyzer.tracker()
        print(len(analyzer.analyze(image)), [one.track_id for one in tracker.update(image, 0.0)])
        try:
            Analyzer.from_checkpoint(engine="torch")
        except MissingExtraError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(examples / "astronaut.jpg")]
    root = Path(__file__).parent.parent
    result = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout.splitlines() == [
        "1 [1]",
        "The torch engine needs more packages: pip install 'agegenderemo[train]'.",
    ]


@pytest.mark.slow
def test_no_call_changes_a_setting_of_the_process(examples: Path) -> None:
    code = """
        import os, sys, warnings
        import numpy as np, torch
        from agegenderemo import Analyzer, load_image
        def settings():
            return (torch.get_num_threads(), torch.get_num_interop_threads(), np.geterr(),
                    np.random.get_state()[1].tolist(), torch.get_default_dtype(),
                    dict(os.environ), list(warnings.filters), os.getcwd())
        torch.set_num_threads(3)
        analyzers = [Analyzer.from_checkpoint(engine=e) for e in ("onnx", "torch")]
        before = settings()
        image = load_image(sys.argv[1])
        for analyzer in analyzers:
            analyzer.analyze(image)
            analyzer.tracker().update(image, 0.0)
        assert settings() == before
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(examples / "astronaut.jpg")]
    root = Path(__file__).parent.parent
    result = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stderr


def test_what_is_perhaps_no_face_is_said() -> None:
    def doubted(score: float, positive: float) -> bool:
        found = Detection((0, 0, 10, 10), score, ((3, 3), (7, 3), (5, 5), (3, 8), (7, 8)))
        return perhaps_no_face(found, {"gender": BinaryPrediction(GENDER, positive)})

    assert doubted(0.98, 0.6)
    assert doubted(0.98, 0.4)
    assert not doubted(0.995, 0.6)
    assert not doubted(0.98, 0.75)
    assert not doubted(0.98, 0.2)


def test_a_lion_is_perhaps_no_face_and_people_are(analyzer: Analyzer, examples: Path) -> None:
    import gradio

    pictures = Path(gradio.__file__).parent / "media_assets" / "images"
    said = [
        "perhaps no face" in face.quality_flags
        for name in ("lion.jpg", "groot.jpeg", "cheetah.jpg")
        for face in analyzer.analyze(pictures / name)
    ]
    assert said
    assert all(said)
    for photo in examples.glob("*.jpg"):
        flags = [face.quality_flags for face in analyzer.analyze(photo)]
        assert sum("perhaps no face" in one for one in flags) <= len(flags) / 20
