// Pictures turned about their middle, and the way back for points and boxes.

import { newImage } from "./image.js";

// A copy turned anticlockwise, large enough for all of it, its corners black. By multiples of 90
// degrees no pixel changes, so a picture that was laid on its side is searched as it was before.
export class TurnedPicture {
  constructor(image, degrees, width, height) {
    Object.assign(this, { image, degrees, width, height });
  }

  static of(image, degrees) {
    const turn = ((degrees % 360) + 360) % 360;
    const turned = turn % 90 === 0 ? quarters(image, turn / 90) : rotate(image, turn);
    return new TurnedPicture(turned, turn, image.width, image.height);
  }

  // Points of the copy in pixels of the picture, in the same order.
  pointsBack(points) {
    const [cos, sin] = this.#matrix();
    return points.map(([px, py]) => {
      const x = px - this.image.width / 2;
      const y = py - this.image.height / 2;
      return [x * cos - y * sin + this.width / 2, x * sin + y * cos + this.height / 2];
    });
  }

  // A box of the copy as one of the picture, round the same middle and about as large.
  boxBack(box) {
    return this.#turned(box, this.image, this, 1);
  }

  // A box of the picture as one of the copy.
  boxOf(box) {
    return this.#turned(box, this, this.image, -1);
  }

  #turned([x1, y1, x2, y2], from, to, way) {
    const [cos, sin] = this.#matrix();
    const offX = (x1 + x2 - from.width) / 2;
    const offY = (y1 + y2 - from.height) / 2;
    const x = offX * cos - way * offY * sin + to.width / 2;
    const y = way * offX * sin + offY * cos + to.height / 2;
    const across = Math.abs(cos);
    const down = Math.abs(sin);
    const halfX = ((x2 - x1) * across + (y2 - y1) * down) / (across + down) / 2;
    const halfY = ((y2 - y1) * across + (x2 - x1) * down) / (across + down) / 2;
    return [x - halfX, y - halfY, x + halfX, y + halfY];
  }

  // Cosine and sine of the angle; whole numbers by quarters.
  #matrix() {
    const angle = (this.degrees * Math.PI) / 180;
    const both = [Math.cos(angle), Math.sin(angle)];
    return this.degrees % 90 === 0 ? both.map(Math.round) : both;
  }
}

function quarters(image, turns) {
  if (turns === 0) return image;
  const { width, height, data } = image;
  const turned = turns === 2 ? newImage(width, height) : newImage(height, width);
  const into = turned.data;
  // Where the source's first pixel lands, and how far apart its neighbours do.
  const line = 3 * height;
  const [start, right, down] = {
    1: [(width - 1) * line, -line, 3],
    2: [data.length - 3, -3, -3 * width],
    3: [line - 3, line, -3],
  }[turns];
  for (let row = 0, from = 0; row < height; row++) {
    for (let column = 0, to = start + row * down; column < width; column++, from += 3, to += right) {
      into[to] = data[from];
      into[to + 1] = data[from + 1];
      into[to + 2] = data[from + 2];
    }
  }
  return turned;
}

// What Pillow's Image.rotate(degrees, BILINEAR, expand=True) makes of an RGB picture, to the bit:
// float64 throughout, and the fraction of a byte cut off at the end.
export function rotate(image, degrees) {
  const { width, height, data } = image;
  const angle = -((degrees * Math.PI) / 180);
  const cos = Number(Math.cos(angle).toFixed(15));
  const sin = Number(Math.sin(angle).toFixed(15));
  const minusSin = Number((-Math.sin(angle)).toFixed(15));
  let shiftX = cos * (-width / 2) + sin * (-height / 2) + 0 + width / 2;
  let shiftY = minusSin * (-width / 2) + cos * (-height / 2) + 0 + height / 2;
  const corners = [[0, 0], [width, 0], [width, height], [0, height]];
  const xs = corners.map(([x, y]) => cos * x + sin * y + shiftX);
  const ys = corners.map(([x, y]) => minusSin * x + cos * y + shiftY);
  const wide = Math.ceil(Math.max(...xs)) - Math.floor(Math.min(...xs));
  const tall = Math.ceil(Math.max(...ys)) - Math.floor(Math.min(...ys));
  [shiftX, shiftY] = [
    cos * (-(wide - width) / 2) + sin * (-(tall - height) / 2) + shiftX,
    minusSin * (-(wide - width) / 2) + cos * (-(tall - height) / 2) + shiftY,
  ];
  const turned = newImage(wide, tall);
  const into = turned.data;
  for (let row = 0, to = 0; row < tall; row++) {
    const y = row + 0.5;
    for (let column = 0; column < wide; column++, to += 3) {
      const x = column + 0.5;
      let fromX = cos * x + sin * y + shiftX;
      let fromY = minusSin * x + cos * y + shiftY;
      if (!(fromX >= 0 && fromX < width && fromY >= 0 && fromY < height)) continue; // black
      fromX -= 0.5;
      fromY -= 0.5;
      const left = Math.floor(fromX);
      const top = Math.floor(fromY);
      const dx = fromX - left;
      const dy = fromY - top;
      // Outside, the border is repeated.
      const west = 3 * (left < 0 ? 0 : left);
      const east = 3 * (left + 1 < width ? left + 1 : width - 1);
      const north = 3 * width * (top < 0 ? 0 : top);
      const south = top + 1 < height ? 3 * width * (top + 1) : north;
      for (let channel = 0; channel < 3; channel++) {
        const a = data[north + west + channel];
        const c = data[south + west + channel];
        const upper = a + (data[north + east + channel] - a) * dx;
        const lower = c + (data[south + east + channel] - c) * dx;
        into[to + channel] = upper + (lower - upper) * dy;
      }
    }
  }
  return turned;
}
