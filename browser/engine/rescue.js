// Faces that one search of a picture misses or misreads: turned, in the dark, or small.
//
// The detector was taught upright faces in fair light. It sees one that lies on its side hardly
// ever, and one on its head with the eyes where the mouth is. `findFaces` looks again where that
// pays. Every number is the package's: agegenderemo/detection/rescue.py says where it is from.

import { iou } from "./geometry.js";
import { crop, mirror, newImage, padEdge, roundHalfEven } from "./image.js";
import { largestFirst } from "./mtcnn.js";
import { shrink } from "./resize.js";
import { TurnedPicture } from "./turn.js";

const SEARCHES = ["auto", "thorough", "plain"]; // again only where nothing was found, always, never
const QUARTERS = [90, 180, 270];
const EIGHTHS = [45, 90, 135, 180, 225, 270, 315];
const SURE = 0.9999; // an upright face that the search is so sure of was never one that lies
const BETTER = 3; // times less doubt that another way up must leave
const SAME = 0.3; // overlap of two boxes of one face
const LEAST_DOUBT = 1e-6; // what a float32 score can tell from one
const MIN_SURE = 0.985; // of a face that only a second search finds
const RESCUE_SIDE = 1024; // pixels of the longer side of copies that are searched again
const TILE_SIDE = 1600;
const TILE_PIXELS = 24_000_000; // larger pictures are cut into tiles at this size
const TILE_OVERLAP = 160;
const TILE_MIN_FACE = 28;
const DARK = 2; // times that brightening must stretch a picture for the turns to be searched too
const OFF_SIZE = 24; // smallest face that puts the pyramid between the sizes of a plain search
const PADDING = 0.25; // of the shorter side: a face that fills its picture has room then

// Every face of a picture, the largest first, with landmarks in the order of the upright face, and
// how it was searched in the end: { detections, search }. "auto" searches thoroughly only where a
// plain search finds nothing. Faces that lie or stand on their head are told by the detector's own
// score, whatever the search.
export async function findFaces(detector, image, search = "auto") {
  if (!SEARCHES.includes(search)) throw new RangeError(`search must be ${SEARCHES.join(", ")}, not "${search}".`);
  const faces = await rightWayUp(detector, image, await detector.detect(image));
  if (search === "plain" || (faces.length && search === "auto")) return { detections: faces, search: "plain" };
  const rescuedFaces = await rescued(detector, image);
  const more = rescuedFaces.filter((face) => faces.every((known) => iou(face.box, known.box) < SAME));
  return { detections: more.length ? largestFirst([...faces, ...more]) : faces, search: "thorough" };
}

// Faces that were found in a picture, those that are not upright found anew, upright.
//
// A face is misread when the detector is clearly surer of it another way up. Then the whole picture
// is searched that way up: a portrait on its head gives what it gives upright, and its neighbours
// are found as well.
export async function rightWayUp(detector, image, faces) {
  const turns = [];
  for (const face of faces) turns.push(face.score < SURE ? await turnOf(detector, image, face) : 0);
  if (turns.every((turn) => turn === 0)) return [...faces];
  let upright = faces.filter((_, i) => turns[i] === 0);
  for (const turn of QUARTERS.filter((one) => turns.includes(one))) {
    const copy = TurnedPicture.of(image, turn);
    const again = await detector.detect(copy.image);
    const found = again.map((face) => faceBack(copy, face)).filter((face) => face !== null);
    for (const face of faces.filter((_, i) => turns[i] === turn)) {
      if (found.some((other) => iou(face.box, other.box) >= SAME)) continue;
      const [near] = await detector.refine(copy.image, [copy.boxOf(face.box)]);
      found.push((near && faceBack(copy, near)) || face);
    }
    for (const face of found) upright = merged(upright, face);
  }
  return largestFirst(upright);
}

// With a face, unless it is one of them and not clearly better seen.
function merged(faces, face) {
  const same = faces.filter((other) => iou(face.box, other.box) >= SAME);
  if (same.some((other) => doubt(face) * BETTER > doubt(other))) return faces;
  return [...faces.filter((other) => !same.includes(other)), face];
}

// Degrees anticlockwise, by quarters, that bring a face upright.
async function turnOf(detector, image, face) {
  const { part, box } = surroundings(image, face.box);
  let best = 0;
  let least = doubt(face);
  for (const turn of [0, ...QUARTERS]) {
    const copy = TurnedPicture.of(part, turn);
    const [seen] = await detector.refine(copy.image, [copy.boxOf(box)]);
    if (!seen) continue;
    if (turn === 0) least = Math.min(least, doubt(seen));
    else if (doubt(seen) * (best === 0 ? BETTER : 1) < least) [best, least] = [turn, doubt(seen)];
  }
  return best;
}

// The part of a picture that holds the square of a box, and the box in it.
function surroundings(image, [x1, y1, x2, y2]) {
  const reach = Math.max(x2 - x1, y2 - y1);
  const x = (x1 + x2) / 2;
  const y = (y1 + y2) / 2;
  const left = Math.max(0, Math.trunc(x - reach));
  const top = Math.max(0, Math.trunc(y - reach));
  const part = crop(image, left, top, Math.trunc(x + reach) + 1, Math.trunc(y + reach) + 1);
  return { part, box: [x1 - left, y1 - top, x2 - left, y2 - top] };
}

function doubt(face) {
  return Math.max(LEAST_DOUBT, 1 - face.score);
}

// --- searching again ------------------------------------------------------------------------

// Faces of brightened and turned copies and of tiles, none twice, the surest way up of each.
async function rescued(detector, image) {
  const candidates = [...(await copiesSearched(detector, image)), ...(await tiled(detector, image))];
  const kept = [];
  for (const { face, sure } of candidates.sort((a, b) => b.sure - a.sure)) {
    if (sure >= MIN_SURE && kept.every((other) => iou(face.box, other.box) < SAME)) kept.push(face);
  }
  return kept;
}

// Candidates are { face, sure }: how sure the detector is of the face and of its mirror image, on
// average.
async function copiesSearched(detector, image) {
  const { image: small, scale } = shrink(image, RESCUE_SIDE);
  const bright = brightened(small);
  const candidates = [];
  for (const { picture, turn, minFaceSize } of copies(small, bright)) {
    const copy = TurnedPicture.of(picture, turn);
    const again = await detector.detect(copy.image, { minFaceSize });
    for (const { face, sure } of await confirmed(detector, copy.image, again)) {
      const back = faceBack(copy, face);
      if (back) candidates.push({ face: scaled(back, scale), sure });
    }
  }
  // Outside the edges there is more of them: a face that fills its picture has room then.
  const border = roundHalfEven(PADDING * Math.min(small.height, small.width));
  for (const picture of [small, bright]) {
    const padded = padEdge(picture, border);
    for (const { face, sure } of await confirmed(detector, padded, await detector.detect(padded))) {
      const { box, score, landmarks } = shifted(face, -border, -border);
      const moved = clipped(box, score, landmarks, small.width, small.height);
      if (moved) candidates.push({ face: scaled(moved, scale), sure });
    }
  }
  return candidates;
}

// What is searched: a picture, by how many degrees it is turned, and the smallest face.
function copies(image, bright) {
  const dark = stretch(image) >= DARK;
  const all = [
    { picture: image, turn: 0, minFaceSize: OFF_SIZE },
    { picture: bright, turn: 0 },
  ];
  for (const turn of EIGHTHS) {
    all.push({ picture: image, turn });
    if (dark) all.push({ picture: bright, turn });
  }
  return all;
}

// Small faces of a picture that is searched at a smaller size.
async function tiled(detector, image) {
  const longest = Math.max(image.height, image.width);
  if (longest <= TILE_SIDE) return [];
  const most = longest * Math.min(1, Math.sqrt(TILE_PIXELS / (image.height * image.width)));
  const { image: picture, scale } = shrink(image, Math.trunc(most));
  const step = TILE_SIDE - TILE_OVERLAP;
  const candidates = [];
  for (let top = 0; top < Math.max(1, picture.height - TILE_OVERLAP); top += step) {
    for (let left = 0; left < Math.max(1, picture.width - TILE_OVERLAP); left += step) {
      const tile = crop(picture, left, top, left + TILE_SIDE, top + TILE_SIDE);
      const found = await detector.detect(tile, { minFaceSize: TILE_MIN_FACE });
      for (const { face, sure } of await confirmed(detector, tile, found)) {
        candidates.push({ face: scaled(shifted(face, left, top), scale), sure });
      }
    }
  }
  return candidates;
}

// Each face that is seen in the mirror too, and how sure the detector is of both.
async function confirmed(detector, picture, faces) {
  const both = [];
  for (const face of faces) {
    const { part, box } = surroundings(picture, face.box);
    const [x1, y1, x2, y2] = box;
    const [seen] = await detector.refine(mirror(part), [[part.width - x2, y1, part.width - x1, y2]]);
    if (seen) both.push({ face, sure: (face.score + seen.score) / 2 });
  }
  return both;
}

// Those faces of a changed picture that are seen in the mirror too: more looks see more that is no
// face.
export async function surely(detector, picture, faces) {
  const both = await confirmed(detector, picture, faces);
  return both.filter(({ sure }) => sure >= MIN_SURE).map(({ face }) => face);
}

// A picture stretched over the whole range of each channel, the outermost hundredth cut off: what
// Pillow's ImageOps.autocontrast(cutoff=1) makes of it.
export function brightened(image) {
  const { width, height, data } = image;
  const tables = [0, 1, 2].map((channel) => contrastTable(histogram(data, channel, 3)));
  const bright = new Uint8Array(data.length);
  for (let channel = 0; channel < 3; channel++) {
    const table = tables[channel];
    for (let i = channel; i < data.length; i += 3) bright[i] = table[data[i]];
  }
  return newImage(width, height, bright);
}

function histogram(data, start, step) {
  const counts = new Int32Array(256);
  for (let i = start; i < data.length; i += step) counts[data[i]]++;
  return counts;
}

function contrastTable(counts) {
  const cut = Math.floor(counts.reduce((sum, count) => sum + count, 0) / 100);
  const levels = Array.from({ length: 256 }, (_, level) => level);
  for (const way of [levels, [...levels].reverse()]) {
    let left = cut;
    for (const level of way) {
      const some = Math.min(left, counts[level]);
      counts[level] -= some;
      left -= some;
      if (left <= 0) break;
    }
  }
  const low = counts.findIndex((count) => count > 0);
  const high = counts.findLastIndex((count) => count > 0);
  if (high <= low) return levels;
  const scale = 255 / (high - low);
  const offset = -low * scale;
  return levels.map((level) => Math.min(255, Math.max(0, Math.trunc(level * scale + offset))));
}

// How many times `brightened` stretches the brightness of a picture, about.
export function stretch(image) {
  const counts = new Int32Array(256);
  let total = 0;
  for (let row = 0; row < image.height; row += 4) {
    for (let column = 0; column < image.width; column += 4) {
      const at = 3 * (row * image.width + column);
      for (let channel = 0; channel < 3; channel++) counts[image.data[at + channel]]++;
      total += 3;
    }
  }
  return 255 / Math.max(1, percentile(counts, total, 0.99) - percentile(counts, total, 0.01));
}

// As numpy has it: linear between the two values around the place.
function percentile(counts, total, share) {
  const place = (total - 1) * share;
  const before = valueAt(counts, Math.floor(place));
  const gap = valueAt(counts, Math.min(total - 1, Math.floor(place) + 1)) - before;
  const rest = place - Math.floor(place);
  return rest >= 0.5 ? before + gap - gap * (1 - rest) : before + gap * rest;
}

function valueAt(counts, place) {
  let value = 0;
  for (let seen = counts[0]; seen <= place; seen += counts[value]) value++;
  return value;
}

// --- places ---------------------------------------------------------------------------------

// A face of a turned copy in pixels of the picture; null for one in the copy's corners.
export function faceBack(copy, face) {
  return clipped(copy.boxBack(face.box), face.score, copy.pointsBack(face.landmarks), copy.width, copy.height);
}

function shifted({ box: [x1, y1, x2, y2], score, landmarks }, x, y) {
  return { box: [x1 + x, y1 + y, x2 + x, y2 + y], score, landmarks: landmarks.map(([px, py]) => [px + x, py + y]) };
}

function scaled(face, scale) {
  if (scale === 1) return face;
  const landmarks = face.landmarks.map(([x, y]) => [x / scale, y / scale]);
  return { box: face.box.map((value) => value / scale), score: face.score, landmarks };
}

// With the part of its box that lies in the picture; null where nothing does.
function clipped([x1, y1, x2, y2], score, landmarks, width, height) {
  const box = [Math.max(0, x1), Math.max(0, y1), Math.min(width, x2), Math.min(height, y2)];
  return box[0] >= box[2] || box[1] >= box[3] ? null : { box, score, landmarks };
}
