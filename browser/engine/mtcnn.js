// MTCNN (Zhang et al. 2016) with facenet-pytorch's weights; its three networks are given.
//
// They look at ever fewer candidates, ever closer: the first at a pyramid of pictures, the other two
// at squares of 24 and 48 pixels. Numbers are Python's to the bit up to the networks.

import { nms, nmsMin } from "./nms.js";
import { areaResizeBoxes, areaResizeInto, areaResizeTable, shrink, summedArea } from "./resize.js";

const { fround } = Math;

const WINDOW = 12; // pixels that the first network sees at once: the smallest face
const STRIDE = 2; // of the first network's windows
const PYRAMID_FACTOR = 0.709; // from one picture of the pyramid to the next, in sides
const SCORES = [0.6, 0.7, 0.7]; // that a candidate must reach in each network
const BATCH = 512; // candidates that the second and third network see at once

export class MtcnnDetector {
  // `minFaceSize` is the smallest face to search for, in pixels of the searched picture; larger
  // pictures than `maxSide` are searched at this size; detections below `minScore` are dropped.
  constructor({ pnet, rnet, onet }, { minFaceSize = 20, maxSide = 1600, minScore = 0.9 } = {}) {
    checkSizes(minFaceSize, maxSide);
    if (!(minScore >= 0 && minScore <= 1)) throw new RangeError(`minScore must lie in 0 to 1, not ${minScore}.`);
    Object.assign(this, { pnet, rnet, onet, minFaceSize, maxSide, minScore });
  }

  // Faces of one picture, the largest first; empty when there is none.
  async detect(image, { minFaceSize, maxSide } = {}) {
    const smallest = minFaceSize ?? this.minFaceSize;
    const longest = maxSide ?? this.maxSide;
    checkSizes(smallest, longest);
    const { image: shrunk, scale } = shrink(image, longest);
    const { boxes, scores, points } = await this.#search(shrunk, smallest);
    const faces = [];
    for (let i = 0; i < scores.length; i++) {
      const face = detection(boxes, points, i, scores[i], scale, image.width, image.height);
      if (face && face.score >= this.minScore) faces.push(face);
    }
    return largestFirst(faces);
  }

  // The face near each box, by MTCNN's last network alone; null where none is seen. Follows a face
  // from frame to frame at a small part of the cost of a search.
  async refine(image, boxes) {
    const found = boxes.map(() => null);
    const squares = square(Float32Array.from(boxes.flat()));
    const inner = inside(squares, image.width, image.height);
    const seen = inner.flatMap(([x1, y1, x2, y2], i) => (x2 - x1 > 1 && y2 - y1 > 1 ? [i] : []));
    if (!seen.length) return found;
    const each = 3 * 48 * 48;
    const views = new Float32Array(seen.length * each);
    seen.forEach((i, row) => areaResizeInto(image, inner[i], 48, 48, views, row * each));
    const [shifts, points, pairs] = await run(this.onet, views, seen.length, 48);
    const around = pick(squares, seen, 4);
    const refined = shifted(around, shifts);
    const fives = placed(around, points);
    seen.forEach((i, row) => {
      const score = pairs[2 * row + 1];
      if (score >= SCORES[2]) found[i] = detection(refined, fives, row, score, 1, image.width, image.height);
    });
    return found;
  }

  // Boxes N×4, scores N and points N×5×2 of the faces of a picture.
  async #search(image, minFaceSize) {
    const nothing = { boxes: [], scores: [], points: [] };
    const scales = pyramid(Math.min(image.height, image.width), minFaceSize);
    if (!scales.length) return nothing;
    const table = summedArea(image);

    let candidates = cut(table, square(await this.#propose(table, scales)), 24);
    if (!candidates.count) return nothing;
    let [shifts, pairs] = await run(this.rnet, candidates.crops, candidates.count, 24);
    const sure = above(pairs, SCORES[1]);
    let scores = pick(pairs, sure, 2).filter((_, i) => i % 2);
    let boxes = pick(candidates.boxes, sure, 4);
    let kept = nms(boxes, scores, 0.7);
    shifts = pick(pick(shifts, sure, 4), kept, 4);
    boxes = square(shifted(pick(boxes, kept, 4), shifts));

    candidates = cut(table, boxes, 48);
    if (!candidates.count) return nothing;
    let points;
    [shifts, points, pairs] = await run(this.onet, candidates.crops, candidates.count, 48);
    const passed = above(pairs, SCORES[2]);
    scores = pick(pairs, passed, 2).filter((_, i) => i % 2);
    boxes = pick(candidates.boxes, passed, 4);
    points = placed(boxes, pick(points, passed, 10));
    boxes = shifted(boxes, pick(shifts, passed, 4));
    kept = nmsMin(boxes, scores, 0.7);
    return { boxes: pick(boxes, kept, 4), scores: pick(scores, kept, 1), points: pick(points, kept, 10) };
  }

  // Candidates of the first network, N×4.
  async #propose(table, scales) {
    const found = [];
    for (const scale of scales) {
      const height = Math.trunc(table.height * scale + 1);
      const width = Math.trunc(table.width * scale + 1);
      const picture = normalised(areaResizeTable(table, height, width));
      const [shifts, pairs] = await this.pnet.run(picture, [1, 3, height, width]);
      const one = windowsOf(shifts, pairs, scale);
      found.push(chosen(one, nms(one.boxes, one.scores, 0.5)));
    }
    const all = {
      boxes: joined(found.map((one) => one.boxes)),
      scores: joined(found.map((one) => one.scores)),
      shifts: joined(found.map((one) => one.shifts)),
    };
    const { boxes, shifts } = chosen(all, nms(all.boxes, all.scores, 0.7));
    const moved = new Float32Array(boxes.length);
    for (let i = 0; i < boxes.length; i += 4) {
      const wide = fround(boxes[i + 2] - boxes[i]);
      const tall = fround(boxes[i + 3] - boxes[i + 1]);
      for (let side = 0; side < 4; side++) {
        moved[i + side] = boxes[i + side] + fround(shifts[i + side] * (side % 2 ? tall : wide));
      }
    }
    return moved;
  }
}

export function areaOf({ box: [x1, y1, x2, y2] }) {
  return (x2 - x1) * (y2 - y1);
}

// Detections by the area of their boxes; of equal ones the earlier comes first.
export function largestFirst(faces) {
  return [...faces].sort((a, b) => areaOf(b) - areaOf(a));
}

function checkSizes(minFaceSize, maxSide) {
  for (const [name, value] of [["minFaceSize", minFaceSize], ["maxSide", maxSide]]) {
    // NaN as well
    if (!(value >= WINDOW)) throw new RangeError(`${name} must be at least ${WINDOW} pixels, not ${value}.`);
  }
}

// Scales of the pyramid for a picture whose shorter side is `side`; none for one that is smaller
// than the smallest face.
function pyramid(side, minFaceSize) {
  const scales = [];
  let scale = WINDOW / minFaceSize;
  for (let left = side * scale; left >= WINDOW; left *= PYRAMID_FACTOR) {
    scales.push(scale);
    scale *= PYRAMID_FACTOR;
  }
  return scales;
}

function normalised(pictures) {
  for (let i = 0; i < pictures.length; i++) pictures[i] = fround(pictures[i] - 127.5) * (1 / 128);
  return pictures;
}

// The outputs of a network for crops N×3×S×S in [0, 255], as flat arrays.
async function run(network, crops, count, size) {
  normalised(crops);
  const each = 3 * size * size;
  const parts = [];
  for (let low = 0; low < count; low += BATCH) {
    const high = Math.min(count, low + BATCH);
    const outputs = await network.run(crops.subarray(low * each, high * each), [high - low, 3, size, size]);
    parts.push(outputs.map(({ data }) => data));
  }
  return parts[0].map((_, output) => joined(parts.map((part) => part[output])));
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Rows of so many values.
function pick(values, rows, each) {
  const picked = new Float32Array(rows.length * each);
  for (let i = 0; i < rows.length; i++) {
    for (let value = 0; value < each; value++) picked[i * each + value] = values[rows[i] * each + value];
  }
  return picked;
}

function chosen({ boxes, scores, shifts }, rows) {
  return { boxes: pick(boxes, rows, 4), scores: pick(scores, rows, 1), shifts: pick(shifts, rows, 4) };
}

// Rows of a network's pairs (no face, face) that are surer than a threshold.
function above(pairs, threshold) {
  const rows = [];
  for (let i = 0; 2 * i < pairs.length; i++) if (pairs[2 * i + 1] > fround(threshold)) rows.push(i);
  return rows;
}

// Windows of the first network that may hold a face, from its maps 1×4×h×w and 1×2×h×w: boxes in
// pixels of the picture, scores and shifts.
function windowsOf(shiftMaps, pairMaps, scale) {
  const [, , height, width] = pairMaps.dims;
  const plane = height * width;
  const threshold = fround(SCORES[0]);
  const places = [];
  for (let i = 0; i < plane; i++) if (pairMaps.data[plane + i] >= threshold) places.push(i);
  const size = fround(scale);
  const boxes = new Float32Array(4 * places.length);
  const scores = new Float32Array(places.length);
  const shifts = new Float32Array(4 * places.length);
  places.forEach((place, i) => {
    const corner = [(place % width) * STRIDE, Math.floor(place / width) * STRIDE];
    for (let side = 0; side < 4; side++) {
      const edge = corner[side % 2] + (side < 2 ? 1 : WINDOW);
      boxes[4 * i + side] = Math.floor(fround(edge / size));
      shifts[4 * i + side] = shiftMaps.data[side * plane + place];
    }
    scores[i] = pairMaps.data[plane + place];
  });
  return { boxes, scores, shifts };
}

// Boxes N×4 as squares of their longer side round the same middle.
function square(boxes) {
  const squares = new Float32Array(boxes.length);
  for (let i = 0; i < boxes.length; i += 4) {
    const wide = fround(boxes[i + 2] - boxes[i]);
    const tall = fround(boxes[i + 3] - boxes[i + 1]);
    const longest = Math.max(wide, tall);
    const half = fround(longest * 0.5);
    squares[i] = fround(boxes[i] + fround(wide * 0.5)) - half;
    squares[i + 1] = fround(boxes[i + 1] + fround(tall * 0.5)) - half;
    squares[i + 2] = squares[i] + longest;
    squares[i + 3] = squares[i + 1] + longest;
  }
  return squares;
}

// The part of each box in the picture, whole pixels; outside there is nothing, or less. The library
// counts pixels from one, the last included.
function inside(boxes, width, height) {
  const parts = [];
  for (let i = 0; i < boxes.length; i += 4) {
    parts.push([
      Math.max(1, Math.trunc(boxes[i])) - 1,
      Math.max(1, Math.trunc(boxes[i + 1])) - 1,
      Math.min(width, Math.trunc(boxes[i + 2])),
      Math.min(height, Math.trunc(boxes[i + 3])),
    ]);
  }
  return parts;
}

// Boxes that lie in the picture, and their content N×3×size×size. One outside goes here, where the
// library keeps it and gives its neighbours wrong answers.
function cut(table, boxes, size) {
  const inner = inside(boxes, table.width, table.height);
  const there = inner.flatMap(([x1, y1, x2, y2], i) => (x2 > x1 && y2 > y1 ? [i] : []));
  const crops = areaResizeBoxes(table, there.map((i) => inner[i]), size);
  return { boxes: pick(boxes, there, 4), crops, count: there.length };
}

// Boxes moved by what a network says, in sides of each.
function shifted(boxes, shifts) {
  const moved = new Float32Array(boxes.length);
  for (let i = 0; i < boxes.length; i += 4) {
    const wide = fround(fround(boxes[i + 2] - boxes[i]) + 1);
    const tall = fround(fround(boxes[i + 3] - boxes[i + 1]) + 1);
    for (let side = 0; side < 4; side++) {
      moved[i + side] = boxes[i + side] + fround(shifts[i + side] * (side % 2 ? tall : wide));
    }
  }
  return moved;
}

// Landmarks N×5×2 in pixels, from the network's N×10 fractions of its boxes, x before y.
function placed(boxes, points) {
  const fives = new Float32Array(points.length);
  for (let i = 0; 4 * i < boxes.length; i++) {
    for (let axis = 0; axis < 2; axis++) {
      const start = boxes[4 * i + axis];
      const side = fround(fround(boxes[4 * i + axis + 2] - start) + 1);
      for (let point = 0; point < 5; point++) {
        fives[10 * i + 2 * point + axis] = fround(fround(points[10 * i + 5 * axis + point] * side) + start) - 1;
      }
    }
  }
  return fives;
}

// One row in pixels of the original, the box clipped to it; null if nothing of it is left.
function detection(boxes, points, row, score, scale, width, height) {
  const x1 = Math.max(0, boxes[4 * row] / scale);
  const y1 = Math.max(0, boxes[4 * row + 1] / scale);
  const x2 = Math.min(width, boxes[4 * row + 2] / scale);
  const y2 = Math.min(height, boxes[4 * row + 3] / scale);
  const landmarks = [];
  for (let i = 10 * row; i < 10 * row + 10; i += 2) landmarks.push([points[i] / scale, points[i + 1] / scale]);
  if (![x1, y1, x2, y2, ...landmarks.flat()].every(Number.isFinite)) return null;
  if (x1 >= x2 || y1 >= y2) return null;
  return { box: [x1, y1, x2, y2], score: Math.min(1, score), landmarks };
}
