// Boxes and the five-point similarity alignment: `align` makes the crop that a network sees, to
// the bit as agegenderemo/imaging/geometry.py makes it.

import { crop, newImage, roundHalfEven } from "./image.js";
import { pillowResize } from "./resize.js";

// Where eyes, nose and mouth corners come to lie, as fractions of the crop's side.
export const TEMPLATES = {
  face: [[0.285, 0.26], [0.715, 0.26], [0.5, 0.495], [0.32, 0.735], [0.68, 0.735]],
  ffhq: [[0.375, 0.473], [0.625, 0.473], [0.5, 0.62], [0.385, 0.725], [0.615, 0.725]],
};

// Side of aligned crops in pixels.
export const CROP_SIZE = 128;

const HALF_EVEN = 6755399441055744; // added and taken away it rounds to whole numbers, ties to even

// Intersection over union of two boxes [x1, y1, x2, y2], from 0 to 1.
export function iou(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const inner = width * height;
  return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner);
}

// Box area in square pixels.
export function area([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

// How far a face is turned clockwise in the picture, degrees from -180 to 180.
export function roll([left, right, , mouthLeft, mouthRight]) {
  const [x, y] = [0, 1].map((i) => right[i] - left[i] + mouthRight[i] - mouthLeft[i]);
  return Math.atan2(y, x) * (180 / Math.PI);
}

// The face as an RGB square of `size` pixels, upright and framed by the template. Outside the
// picture its border is repeated. Throws where the landmarks coincide.
export function align(image, landmarks, size, template = "face") {
  const wanted = TEMPLATES[template].map(([x, y]) => [x * size, y * size]);
  const matrix = similarity(landmarks, wanted);
  if (Math.hypot(matrix[0], matrix[3]) >= 1) return sample(whole(image), inverse(matrix), size);
  return sampleReduced(image, matrix, size);
}

// Where the top left, top right and bottom left corner of the aligned square lie in the picture.
// Throws where the landmarks coincide.
export function squareCorners(landmarks, template = "face") {
  const matrix = similarity(landmarks, TEMPLATES[template]);
  const [a, b, , c, d] = inverse(matrix);
  return [[0, 0], [1, 0], [0, 1]].map(([x, y]) => {
    const [across, down] = [x - matrix[2], y - matrix[5]];
    return [across * a + down * b, across * c + down * d];
  });
}

// The 2×3 matrix, row by row, of rotation, scale and shift that brings source closest to target:
// least squares (Umeyama 1991).
function similarity(source, target) {
  const [sx, sy] = middle(source);
  const [tx, ty] = middle(target);
  let [spread, real, imaginary] = [0, 0, 0];
  for (let i = 0; i < source.length; i++) {
    const [x, y] = [source[i][0] - sx, source[i][1] - sy];
    const [u, v] = [target[i][0] - tx, target[i][1] - ty];
    spread += Math.hypot(x, y) ** 2;
    real += x * u + y * v;
    imaginary += x * v - y * u;
  }
  real /= Math.max(spread, 1e-12);
  imaginary /= Math.max(spread, 1e-12);
  if (!(spread >= 1e-6 && Math.hypot(real, imaginary) >= 1e-9)) {
    throw new Error(`landmarks do not span a face: ${JSON.stringify(source)}`);
  }
  const shiftX = tx - (real * sx - imaginary * sy);
  const shiftY = ty - (real * sy + imaginary * sx);
  return [real, -imaginary, shiftX, imaginary, real, shiftY];
}

function middle(points) {
  const [x, y] = points.reduce(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
  return [x / points.length, y / points.length];
}

// Of a 2×3 matrix, row by row, as one that is written the same way.
function inverse([a, b, x, c, d, y]) {
  const whole = a * d - b * c;
  const [p, q, r, s] = [d / whole, -b / whole, -c / whole, a / whole];
  return [p, q, -(p * x + q * y), r, s, -(r * x + s * y)];
}

// For a face larger than the crop, its surroundings are cut out and shrunk to the crop's scale with
// an antialiasing filter, because bilinear sampling alone would skip pixels.
function sampleReduced(image, [a, b, x, c, d, y], size) {
  const scale = Math.hypot(a, c);
  const back = inverse([a, b, 0, c, d, 0]);
  const [offX, offY] = [size / 2 - x, size / 2 - y];
  const centreX = back[0] * offX + back[1] * offY;
  const centreY = back[3] * offX + back[4] * offY;
  const reach = (0.75 * size) / scale; // a little over half the diagonal: it holds any rotation
  const left = clip(Math.floor(centreX - reach), 0, image.width - 1);
  const top = clip(Math.floor(centreY - reach), 0, image.height - 1);
  const right = clip(Math.ceil(centreX + reach), left + 1, image.width);
  const bottom = clip(Math.ceil(centreY + reach), top + 1, image.height);
  const region = crop(image, left, top, right, bottom);
  const width = Math.max(1, roundHalfEven(region.width * scale));
  const height = Math.max(1, roundHalfEven(region.height * scale));
  const [wide, tall] = [region.width / width, region.height / height];
  const points = inverse([
    a * wide, b * tall, a * left + b * top + x, c * wide, d * tall, c * left + d * top + y,
  ]);
  // Of the shrunk region only what the square covers: of an upright face that is under half.
  const [x1, x2] = covered(points.slice(0, 3), size, width);
  const [y1, y2] = covered(points.slice(3), size, height);
  const { data } = pillowResize(region, width, height, "bilinear", [x1, y1, x2, y2]);
  return sample({ width, height, data, left: x1, top: y1, across: x2 - x1 }, points, size);
}

// The first pixel, and the one after the last, that a square's samples may need along an axis.
function covered([across, down, shift], size, length) {
  const first = shift + Math.min(0, across * size) + Math.min(0, down * size);
  const last = shift + Math.max(0, across * size) + Math.max(0, down * size);
  const low = clip(Math.floor(first) - 2, 0, length - 1);
  return [low, clip(Math.ceil(last) + 2, low + 1, length)];
}

function whole({ width, height, data }) {
  return { width, height, data, left: 0, top: 0, across: width };
}

// A picture of a width and height at the points that an affine matrix gives to the pixels of a
// square, by bilinear interpolation, its border repeated; `data` is the part of it from `left` and
// `top` on, `across` pixels wide. To the bit what PyTorch's `grid_sample` gives on a CPU: the points
// pass through float32 fractions of the picture, and each product is added to the sum before either
// is rounded, as a fused multiply-add does; float64 holds both exactly.
function sample(picture, [a, b, shiftX, c, d, shiftY], size) {
  const { width, height, data, left: x0, top: y0, across: stride } = picture;
  const { fround } = Math;
  const halfWidth = width / 2;
  const halfHeight = height / 2;
  const lastX = width - 1;
  const lastY = height - 1;
  const line = 3 * stride;
  const result = newImage(size, size);
  const into = result.data;
  for (let row = 0, at = 0; row < size; row++) {
    // Landmarks, like the detector's boxes, count from the picture's corner: pixel centres are at
    // one half.
    const y = row + 0.5;
    const downX = b * y;
    const downY = d * y;
    for (let column = 0; column < size; column++, at += 3) {
      const x = column + 0.5;
      let across = fround(fround((a * x + downX + shiftX) / halfWidth - 1) + 1);
      let down = fround(fround((c * x + downY + shiftY) / halfHeight - 1) + 1);
      across = fround(across * halfWidth - 0.5);
      down = fround(down * halfHeight - 0.5);
      across = across < 0 ? 0 : across > lastX ? lastX : across;
      down = down < 0 ? 0 : down > lastY ? lastY : down;
      const left = Math.floor(across);
      const top = Math.floor(down);
      const east = fround(across - left);
      const south = fround(down - top);
      const west = fround(1 - east);
      const north = fround(1 - south);
      const northWest = fround(west * north);
      const northEast = fround(east * north);
      const southWest = fround(west * south);
      const southEast = fround(east * south);
      // At the border the neighbour is the pixel itself; its weight is zero.
      const beside = left < lastX ? 3 : 0;
      let first = 3 * ((top - y0) * stride + left - x0);
      let below = top < lastY ? first + line : first;
      for (let channel = at; channel < at + 3; channel++, first++, below++) {
        let total = fround(data[first] * northWest);
        total = fround(data[first + beside] * northEast + total);
        total = fround(data[below] * southWest + total);
        total = fround(data[below + beside] * southEast + total);
        into[channel] = total + HALF_EVEN - HALF_EVEN;
      }
    }
  }
  return result;
}

function clip(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
