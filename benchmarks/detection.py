"""Which faces are found, by kind of difficulty, what is found where there is no face, and the cost.

Faces of FairFace's held-out slice are laid on a wall of 640×480 pixels, one a picture: upright,
turned, in the dark, half covered, and at 40 pixels in 24 megapixels. Non-faces are FER+ images that
most annotators call none, pictures that the installed packages ship, and FairFace pictures cut into
sixteen pieces and shuffled. Prints Markdown tables.

    python benchmarks/detection.py --root DATA
    python benchmarks/detection.py --root DATA --whole utkface fairface
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.data.readers import read
from agegenderemo.data.readers.source import read_bytes
from agegenderemo.detection import MtcnnDetector, Search, find_faces
from agegenderemo.imaging.geometry import iou
from agegenderemo.imaging.load import load_image
from agegenderemo.types import Box, Detection, RGBImage

WALL = (640, 480)
LARGE = (6000, 4000)
SMALL_PICTURE = 64  # pixels of a FairFace picture in the large one: its face has about 40
FACE = 0.4  # half the side of a face, of its picture
FOUND = 0.3  # overlap with where the face is
UPRIGHT = 30.0  # degrees that the roll of a face may be off
NO_FACE = 9  # place of that answer among FER+'s ten votes
MODES: tuple[Search, ...] = ("plain", "auto", "thorough")

PICTURES = {
    "gradio": (
        "media_assets/images/bus.png", "media_assets/images/cheetah.jpg",
        "media_assets/images/cheetah1.jpg", "media_assets/images/groot.jpeg",
        "media_assets/images/lion.jpg", "media_assets/images/logo.png",
        "media_assets/images/tower.jpg", "test_data/cheetah2.jpg",
    ),
    "matplotlib": (
        "mpl-data/sample_data/Minduka_Present_Blue_Pack.png", "mpl-data/sample_data/logo2.png",
    ),
}  # fmt: skip
"""Sample pictures without a person, by the package that ships them."""

Scene = tuple[RGBImage, Box, float]
"""A picture, where its one face is, and how far that is turned clockwise, in degrees."""


def wall(rng: np.random.Generator, width: int, height: int) -> RGBImage:
    """Soft colours and a little noise."""
    coarse = rng.normal(128, 25, (height // 40, width // 40, 3)).clip(0, 255).astype(np.uint8)
    soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 4, (480, 640, 3)).astype(np.float32)
    tiled = np.tile(noise, (-(-height // 480), -(-width // 640), 1))[:height, :width]
    noisy: RGBImage = (np.asarray(soft) + tiled).clip(0, 255).astype(np.uint8)
    return noisy


def turned(face: RGBImage, rng: np.random.Generator, degrees: float = 0.0) -> Scene:
    """A face on a wall, turned clockwise."""
    return _laid(Image.fromarray(face), rng, WALL, degrees)


def dark(face: RGBImage, rng: np.random.Generator) -> Scene:
    """At an eighth of the light."""
    picture, box, roll = turned(face, rng)
    return np.rint(picture * 0.12).astype(np.uint8), box, roll


def covered(face: RGBImage, rng: np.random.Generator) -> Scene:
    """Mouth and the tip of the nose behind a plain mask."""
    masked, side = face.copy(), len(face)
    rows, columns = (
        slice(int(0.53 * side), int(0.85 * side)),
        slice(int(0.18 * side), int(0.82 * side)),
    )
    masked[rows, columns] = (150, 190, 210)
    return turned(masked, rng)


def small(face: RGBImage, rng: np.random.Generator) -> Scene:
    """In a large photo."""
    size = (SMALL_PICTURE, SMALL_PICTURE)
    return _laid(Image.fromarray(face).resize(size, Image.Resampling.BOX), rng, LARGE, 0.0)


def shuffled(face: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Skin, eyes and hair, and no face."""
    side = len(face) // 4
    pieces = face[: 4 * side, : 4 * side].reshape(4, side, 4, side, 3).swapaxes(1, 2)
    mixed = rng.permutation(pieces.reshape(16, side, side, 3)).reshape(4, 4, side, side, 3)
    return turned(mixed.swapaxes(1, 2).reshape(4 * side, 4 * side, 3), rng)[0]


def _laid(
    face: Image.Image, rng: np.random.Generator, size: tuple[int, int], degrees: float
) -> Scene:
    canvas = Image.fromarray(wall(rng, *size))
    mask = Image.new("L", face.size, 255).rotate(-degrees, expand=True)
    picture = face.rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    x, y = (int(rng.integers(0, size[i] - picture.size[i] + 1)) for i in (0, 1))
    canvas.paste(picture, (x, y), mask)
    middle, half = (x + picture.size[0] / 2, y + picture.size[1] / 2), FACE * face.size[0]
    box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
    return np.asarray(canvas), box, degrees


KINDS: dict[str, Callable[[RGBImage, np.random.Generator], Scene]] = {
    "upright": turned,
    **{f"turned by {d}°": partial(turned, degrees=d) for d in (30, 60, 90, 180)},
    "dark, ×0.12": dark,
    "lower half covered": covered,
    "40 pixels in 24 megapixels": small,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--split", default="val", help="of FairFace; thresholds are set on train")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "non-faces"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--whole", nargs="+", choices=("utkface", "fairface"), default=())
    parser.add_argument("--every", type=int, default=1, help="of the pictures of --whole")
    args = parser.parse_args()
    detector = MtcnnDetector()
    if args.whole:
        _count_misses(detector, args.root, args.whole, args.every)
        return
    faces = _faces(args.root, args.split, args.faces)
    kinds = args.kinds or [*KINDS, "non-faces"]
    _print_found(detector, faces, [kind for kind in kinds if kind in KINDS], args.modes)
    if "non-faces" in kinds:
        _print_false(detector, args.root, faces, args.modes)


def _faces(root: Path, split: Any, count: int) -> list[RGBImage]:
    samples = read("fairface", root).only(split).samples
    chosen = np.random.default_rng(0).permutation(len(samples))[:count]
    return [load_image(read_bytes(samples[i].image)) for i in chosen]


def _print_found(
    detector: MtcnnDetector, faces: list[RGBImage], kinds: Iterable[str], modes: Iterable[Search]
) -> None:
    print("| faces | search | found | the right way up | false positives | ms a picture |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in kinds:
        for mode in modes:
            found = upright = false = 0
            spent = 0.0
            for i, face in enumerate(tqdm(faces, desc=f"{kind}, {mode}", leave=False)):
                picture, box, roll = KINDS[kind](face, np.random.default_rng(i))
                start = time.process_time()
                seen = find_faces(detector, picture, mode).detections
                spent += time.process_time() - start
                hits = [one for one in seen if iou(one.box, box) >= FOUND]
                found += bool(hits)
                upright += any(_off(one, roll) <= UPRIGHT for one in hits)
                false += len(seen) - len(hits)
            share = 100 / len(faces)
            shares = f"{found * share:.0f} % | {upright * share:.0f} %"
            print(f"| {kind} | {mode} | {shares} | {false} | {1000 * spent / len(faces):.0f} |",
                  flush=True)  # fmt: skip


def _off(face: Detection, roll: float) -> float:
    return abs((face.roll - roll + 180) % 360 - 180)


def _print_false(
    detector: MtcnnDetector, root: Path, faces: list[RGBImage], modes: Iterable[Search]
) -> None:
    sets = {
        "FER+ images that are no face": _no_faces(root),
        "sample pictures of packages": list(_sample_pictures()),
        "shuffled faces": [shuffled(f, np.random.default_rng(i)) for i, f in enumerate(faces)],
    }
    print("\n| non-faces | search | pictures | with a face found | ms a picture |")
    print("| --- | --- | --- | --- | --- |")
    for name, pictures in sets.items():
        for mode in modes:
            start = time.process_time()
            wrong = sum(bool(find_faces(detector, p, mode).detections) for p in pictures)
            spent = 1000 * (time.process_time() - start) / max(1, len(pictures))
            print(f"| {name} | {mode} | {len(pictures)} | {wrong} | {spent:.0f} |", flush=True)


def _no_faces(root: Path) -> list[RGBImage]:
    chosen = [s for s in read("ferplus", root).samples if s.votes and s.votes[NO_FACE] > 5]
    return [load_image(read_bytes(sample.image)) for sample in chosen]


def _sample_pictures() -> Iterable[RGBImage]:
    for package, names in PICTURES.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            files = (Path(spec.origin).parent / name for name in names)
            yield from (load_image(file) for file in files if file.is_file())


def _count_misses(detector: MtcnnDetector, root: Path, names: Iterable[str], every: int) -> None:
    """Whole pictures of each set in which no face is found, plainly and after a second search."""
    print("| set | pictures | missed, plain | missed, auto |")
    print("| --- | --- | --- | --- |")
    for name in names:
        samples = read(name, root).only("test" if name == "utkface" else "val").samples[::every]
        plain = auto = 0
        for sample in tqdm(samples, desc=name):
            found = find_faces(detector, load_image(read_bytes(sample.image)), "auto")
            plain += found.search != "plain"
            auto += not found.detections
        print(f"| {name} | {len(samples):,} | {plain} | {auto} |", flush=True)


if __name__ == "__main__":
    main()
