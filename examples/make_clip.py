"""Makes clip.mp4 from the photos beside it: ``python examples/make_clip.py``.

For those without a camera: a group, then one face after another, each coming slowly closer.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from agegenderemo.imaging.load import load_image
from agegenderemo.types import RGBImage
from agegenderemo.video.writer import FilmWriter

FOLDER = Path(__file__).parent
SIZE = (480, 270)
RATE = 12
SECONDS = 3.0
SCENES = {
    # Centre and width of what is seen first and last, in pixels of the photo.
    "solvay-1927.jpg": ((430, 560, 620), (900, 560, 620)),
    "astronaut.jpg": ((256, 144, 500), (226, 130, 330)),
    "grace-hopper.jpg": ((256, 250, 500), (256, 225, 420)),
}

Seen = tuple[float, float, float]


def view(image: RGBImage, first: Seen, last: Seen, part: float) -> RGBImage:
    """What is seen of a photo, ``part`` of the way from the first to the last."""
    x, y, width = (a + (b - a) * part for a, b in zip(first, last, strict=True))
    height = width * SIZE[1] / SIZE[0]
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    picture = Image.fromarray(image).resize(SIZE, Image.Resampling.BICUBIC, box=box)
    return np.asarray(picture)


def main() -> None:
    count = round(RATE * SECONDS)
    with (FOLDER / "clip.mp4").open("wb") as file:
        writer = FilmWriter(file, "mp4", RATE, max_rate=150_000)
        for index, (name, (first, last)) in enumerate(SCENES.items()):
            image = load_image(FOLDER / name)
            for frame in range(count):
                time = (index * count + frame) / RATE
                writer.frame(view(image, first, last, frame / (count - 1)), time)
        writer.close()


if __name__ == "__main__":
    main()
