"""How the error rises with what ``detection/quality.py`` measures, and where its thresholds lie.

Size, blur and darkness are made from UTKFace's test faces, step by step; turned and cut-off faces
are those of UTKFace's test split and FairFace's validation slice. Prints Markdown tables.

    python benchmarks/doubts.py --prepared prepared
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import gaussian_blur

sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from agegenderemo.dataset import Origin, PreparedSet
from agegenderemo.detection.quality import LIMITS, Quality, measure_quality
from agegenderemo.evaluation import measure
from agegenderemo.predictor import Predictor
from agegenderemo.records import Attributes, Landmarks, Sample

EVERY = 5  # of UTKFace's test faces is changed
SIZES = (128, 64, 48, 40, 32, 24, 16, 12)
SIGMAS = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
LIGHTS = (1.0, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08)
BINS = {"turn": (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 9), "outside": (0, 0.1, 0.2, 0.3, 0.4, 0.5, 1)}
PICTURE_SIDE = {"utkface": 200, "fairface": 160}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint)
    predictor = Predictor(checkpoint.model, checkpoint.input, checkpoint.calibration)
    utkface = PreparedSet.open(args.prepared / "utkface")
    rows = utkface.rows("test")[::EVERY]
    samples = [utkface.samples[row] for row in rows]
    crops = torch.from_numpy(utkface.crops[rows])
    for reason, field, steps, change in (
        ("small", "size", SIZES, _shrink),
        ("blurred", "sharpness", SIGMAS, _blur),
        ("dark", "brightness", LIGHTS, _darken),
    ):
        print(f"\n| {reason}: made | {field}, median | flagged | age MAE | gender |")
        print("| --- | --- | --- | --- | --- |")
        for step in steps:
            changed = change(crops, step)
            values = np.array([getattr(q, field) for q in _qualities(changed)])
            if reason == "small":
                values = np.full(len(values), step)
            flagged = _past(reason, values).mean()
            print(f"| {step:g} | {np.median(values):.2f} | {flagged:.0%} | "
                  + _figures(samples, predictor.predict(changed)) + " |")  # fmt: skip
    for name, split in (("utkface", "test"), ("fairface", "val")):
        _natural(args.prepared / name, split, predictor)


def _natural(folder: Path, split: str, predictor: Predictor) -> None:
    prepared = PreparedSet.open(folder)
    points = np.load(folder / "landmarks.npy") * PICTURE_SIDE[prepared.name]
    rows = prepared.rows(split)  # type: ignore[arg-type]
    rows = rows[np.isin(prepared.origin[rows], (Origin.DETECTED, Origin.PADDED))]
    side = PICTURE_SIDE[prepared.name]
    seen = [
        measure_quality(prepared.crops[row], _landmarks(points[row]), side, side) for row in rows
    ]
    answers = [
        answer
        for start in range(0, len(rows), 128)
        for answer in predictor.predict(torch.from_numpy(prepared.crops[rows[start : start + 128]]))
    ]
    samples = [prepared.samples[row] for row in rows]
    for reason, field in (("turned", "turn"), ("cut off", "outside")):
        values = np.array([getattr(q, field) for q in seen])
        print(f"\n| {reason}: {prepared.name} {split}, {field} | faces | flagged | age | gender |")
        print("| --- | --- | --- | --- | --- |")
        edges = BINS[field]
        for low, high in itertools.pairwise(edges):
            here = np.flatnonzero((values >= low) & (values < high))
            if len(here) >= 20:
                flagged = _past(reason, values[here]).mean()
                text = _figures([samples[i] for i in here], [answers[i] for i in here])
                print(f"| {low:g} to {high:g} | {len(here):,} | {flagged:.0%} | {text} |")


def _figures(samples: list[Sample], answers: list[Attributes]) -> str:
    figures = measure(samples, answers)
    age = figures["age_mae"]
    if age is None:
        return f"band {figures['age_band_accuracy']:.1%} | {figures['gender_accuracy']:.1%}"
    return f"{age:.2f} years | {figures['gender_accuracy']:.1%}"


def _past(reason: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    _, limit, above = LIMITS[reason]
    past: NDArray[np.bool_] = values > limit if above else values < limit
    return past


def _qualities(crops: Tensor) -> Iterator[Quality]:
    middle = _landmarks(np.array([(40, 40), (88, 40), (64, 64), (44, 94), (84, 94)]))
    for crop in crops.numpy():
        yield measure_quality(crop, middle, 128, 128)


def _landmarks(points: NDArray[np.float64]) -> Landmarks:
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
    kernel = 2 * round(3 * sigma) + 1
    return (
        _planes(lambda x: gaussian_blur(x, [kernel, kernel], [sigma, sigma]), crops)
        if sigma
        else crops
    )


def _darken(crops: Tensor, light: float) -> Tensor:
    """As a sensor in less light: darker, rounded, and with the same noise as before."""
    noise = torch.Generator().manual_seed(0)
    return _planes(lambda x: x * light + 2 * torch.randn(x.shape, generator=noise), crops)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
