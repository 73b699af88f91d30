"""Pictures turned about their middle, and the way back for points and boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agegenderemo.types import Box, Landmarks, RGBImage


@dataclass(frozen=True, slots=True)
class TurnedPicture:
    """A copy turned anticlockwise, large enough for all of it, its corners black.

    By multiples of 90 degrees no pixel changes, so a picture that was laid on its side is searched
    as it was before.
    """

    image: RGBImage
    degrees: float
    width: int
    height: int

    @classmethod
    def of(cls, image: RGBImage, degrees: float) -> "TurnedPicture":
        """``image`` is RGB uint8 H×W×3."""
        height, width = image.shape[:2]
        if degrees % 90 == 0:
            turned = np.ascontiguousarray(np.rot90(image, int(degrees // 90) % 4))
        else:
            picture = Image.fromarray(image)
            turned = np.asarray(picture.rotate(degrees, Image.Resampling.BILINEAR, expand=True))
        return cls(turned, degrees % 360, width, height)

    def points_back(self, points: Landmarks) -> Landmarks:
        """Points of the copy in pixels of the picture, in the same order."""
        middle = np.array(self.image.shape[1::-1]) / 2
        placed = (np.asarray(points) - middle) @ self._matrix()
        x, y = self.width / 2, self.height / 2
        a, b, c, d, e = ((float(px) + x, float(py) + y) for px, py in placed)
        return a, b, c, d, e

    def box_back(self, box: Box) -> Box:
        """A box of the copy as one of the picture, round the same middle and about as large."""
        (x, y), half = self._turned(box, 1)
        x, y = x + self.width / 2, y + self.height / 2
        return x - half[0], y - half[1], x + half[0], y + half[1]

    def box_of(self, box: Box) -> Box:
        """A box of the picture as one of the copy."""
        (x, y), half = self._turned(box, -1)
        tall, wide = self.image.shape[:2]
        x, y = x + wide / 2, y + tall / 2
        return x - half[0], y - half[1], x + half[0], y + half[1]

    def _turned(self, box: Box, way: int) -> tuple[tuple[float, float], tuple[float, float]]:
        size = self.image.shape[1::-1] if way == 1 else (self.width, self.height)
        off = np.array([(box[0] + box[2] - size[0]) / 2, (box[1] + box[3] - size[1]) / 2])
        matrix = self._matrix()
        x, y = off @ (matrix if way == 1 else matrix.T)
        across, down = abs(matrix[0])
        sides = (box[2] - box[0], box[3] - box[1])
        halves = [(a * across + b * down) / (across + down) / 2 for a, b in (sides, sides[::-1])]
        return (float(x), float(y)), (float(halves[0]), float(halves[1]))

    def _matrix(self) -> NDArray[np.float64]:
        """Of row vectors, from the copy to the picture; whole numbers by quarters."""
        angle = np.radians(self.degrees)
        cos, sin = np.cos(angle), np.sin(angle)
        if self.degrees % 90 == 0:
            cos, sin = np.round(cos), np.round(sin)
        return np.array([[cos, sin], [-sin, cos]])
