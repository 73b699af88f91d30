"""How the error goes with what ``imaging/quality.py`` measures, where its limits lie, and which
flags deserve distrust.

Size, blur and darkness are made from UTKFace's test faces, step by step; turned and cut-off faces
are those of UTKFace's test split and FairFace's validation slice. Prints Markdown tables.

    python benchmarks/quality_flags.py --prepared prepared
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import gaussian_blur

sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.data.dataset import CropSource, PreparedSet
from agegenderemo.data.samples import Sample
from agegenderemo.evaluation.evaluate import answer, measure
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.imaging.quality import LIMITS, Quality, measure_quality
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import Prediction, RegressionPrediction, TaskSpec
from agegenderemo.types import Landmarks

EVERY = 5  # of UTKFace's test faces is changed
SIZES = (128, 64, 48, 40, 32, 24, 16, 12)
SIGMAS = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
LIGHTS = (1.0, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08)
BINS = {
    "yaw": (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 9),
    "out_of_frame": (0, 0.1, 0.2, 0.3, 0.4, 0.5, 1),
}
FEWEST = 20  # faces that make a row
PICTURE_SIDE = {"utkface": 200, "fairface": 160}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint)
    predictor = TorchPredictor(checkpoint.model, checkpoint.info, checkpoint.info.calibration)
    _made(PreparedSet.open(args.prepared / "utkface"), predictor)
    for name, split in (("utkface", "test"), ("fairface", "val")):
        _natural(args.prepared / name, split, predictor)


def _made(utkface: PreparedSet, predictor: TorchPredictor) -> None:
    """The same faces, worse and worse."""
    rows = utkface.rows("test")[::EVERY]
    samples = [utkface.samples[row] for row in rows]
    crops = torch.from_numpy(utkface.crops[rows])
    for flag, steps, change in (
        ("small", SIZES, _shrink),
        ("blurred", SIGMAS, _blur),
        ("dark", LIGHTS, _darken),
    ):
        field = LIMITS[flag][0]
        _head(f"{flag}: made", f"{field}, median", "flagged", *_columns(utkface, predictor))
        for step in steps:
            changed = change(crops, step).numpy()
            values = np.array([getattr(q, field) for q in map(_quality, changed)])
            if flag == "small":
                values = np.full(len(values), float(step))
            answers = [a for part in _batches(changed) for a in predictor.predict(part)]
            cells = _cells(utkface, samples, answers, predictor)
            _row(f"{step:g}", f"{np.median(values):.2f}", f"{_past(flag, values).mean():.0%}",
                 *cells)  # fmt: skip


def _natural(folder: Path, split: Any, predictor: TorchPredictor) -> None:
    """Other faces, by what was measured of them; then those with the flag against those without."""
    prepared = PreparedSet.open(folder)
    side = PICTURE_SIDE[prepared.name]
    points = np.load(folder / "landmarks.npy") * side
    rows = prepared.rows(split)
    rows = rows[np.isin(prepared.source[rows], (CropSource.DETECTED, CropSource.PADDED))]
    seen = [
        measure_quality(prepared.crops[row], _landmarks(points[row]), side, side) for row in rows
    ]
    answers = answer(predictor, prepared, rows)
    samples = [prepared.samples[row] for row in rows]
    for flag in ("turned", "cut off"):
        field = LIMITS[flag][0]
        values = np.array([getattr(q, field) for q in seen])
        _head(f"{flag}: {prepared.name} {split}, {field}", "faces", "flagged",
              *_columns(prepared, predictor))  # fmt: skip
        for low, high in itertools.pairwise(BINS[field]):
            here = np.flatnonzero((values >= low) & (values < high))
            if len(here) >= FEWEST:
                cells = _cells(
                    prepared, [samples[i] for i in here], [answers[i] for i in here], predictor
                )
                flagged = f"{_past(flag, values[here]).mean():.0%}"
                _row(f"{low:g} to {high:g}", f"{len(here):,}", flagged, *cells)
        _verdicts(flag, _past(flag, values), samples, answers, prepared.tasks)


def _verdicts(
    flag: str,
    flagged: NDArray[np.bool_],
    samples: Sequence[Sample],
    answers: Sequence[Mapping[str, Prediction]],
    specs: Sequence[TaskSpec],
) -> None:
    """Whether faces with the flag are read worse, in standard errors of the difference."""
    _head(flag, "error with the flag", "without it", "difference", "in standard errors")
    for spec in specs:
        errors = np.array([_error(s, a, spec.name) for s, a in zip(samples, answers, strict=True)])
        known = np.isfinite(errors)
        a, b = errors[known & flagged], errors[known & ~flagged]
        if min(len(a), len(b)) >= FEWEST:
            spread = math.sqrt(a.var() / len(a) + b.var() / len(b))
            difference = a.mean() - b.mean()
            _row(spec.name, f"{a.mean():.3f}", f"{b.mean():.3f}", f"{difference:+.3f}",
                 f"{difference / max(spread, 1e-9):+.1f}")  # fmt: skip


def _error(sample: Sample, predictions: Mapping[str, Prediction], task: str) -> float:
    """Of one face: how far a number is off, or 1 for a wrong answer; NaN without a label."""
    label, prediction = sample.labels.get(task), predictions.get(task)
    if label is None or prediction is None:
        return math.nan
    if isinstance(prediction, RegressionPrediction):
        if isinstance(label, tuple):
            return float(not label[0] <= math.floor(prediction.value) <= label[1])
        return abs(prediction.value - label)
    right = int(np.argmax(label)) if isinstance(label, tuple) else int(label)
    return float(prediction.spec.classes.index(prediction.label) != right)


def _columns(prepared: PreparedSet, predictor: TorchPredictor) -> list[str]:
    names = {spec.name for spec in predictor.tasks}
    return [spec.name for spec in prepared.tasks if spec.name in names]


def _cells(
    prepared: PreparedSet,
    samples: Sequence[Sample],
    answers: Sequence[Mapping[str, Prediction]],
    predictor: TorchPredictor,
) -> list[str]:
    figures = measure(samples, prepared.tasks, answers, predictor.tasks)["tasks"]
    cells = []
    for name in _columns(prepared, predictor):
        own = figures.get(name, {})
        if "mae" in own:
            cells.append(f"{own['mae']:.2f} {own.get('unit', '')}".rstrip())
        elif "band_accuracy" in own:
            cells.append(f"band {own['band_accuracy']:.1%}")
        else:
            share = own.get("accuracy", own.get("accuracy_majority"))
            cells.append("" if share is None else f"{share:.1%}")
    return cells


def _head(*cells: str) -> None:
    print()
    _row(*cells)
    _row(*["---"] * len(cells))


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")


def _past(flag: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    _, limit, above = LIMITS[flag]
    past: NDArray[np.bool_] = values > limit if above else values < limit
    return past


def _quality(crop: NDArray[np.uint8]) -> Quality:
    middle = _landmarks(np.array([(40, 40), (88, 40), (64, 64), (44, 94), (84, 94)]))
    return measure_quality(crop, middle, 128, 128)


def _batches(crops: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [crops[start : start + 128] for start in range(0, len(crops), 128)]


def _landmarks(points: NDArray[Any]) -> Landmarks:
    return tuple((float(x), float(y)) for x, y in points)  # type: ignore[return-value]


def _planes(change: Callable[[Tensor], Tensor], crops: Tensor) -> Tensor:
    x = change(crops.permute(0, 3, 1, 2).float())
    return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _shrink(crops: Tensor, side: float) -> Tensor:
    def change(x: Tensor) -> Tensor:
        small = interpolate(x, (int(side), int(side)), mode="bilinear", antialias=True)
        return interpolate(small, x.shape[2:], mode="bilinear")

    return _planes(change, crops) if side < crops.shape[1] else crops


def _blur(crops: Tensor, sigma: float) -> Tensor:
    if not sigma:
        return crops
    kernel = 2 * round(3 * sigma) + 1

    def change(x: Tensor) -> Tensor:
        blurred: Tensor = gaussian_blur(x, [kernel, kernel], [sigma, sigma])
        return blurred

    return _planes(change, crops)


def _darken(crops: Tensor, light: float) -> Tensor:
    """As a sensor in less light: darker, rounded, and with the same noise as before."""
    noise = torch.Generator().manual_seed(0)
    return _planes(lambda x: x * light + 2 * torch.randn(x.shape, generator=noise), crops)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
