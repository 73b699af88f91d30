// Resizes, turns, stretches and suppression against Python's, on what
// tests/browser_vectors_detector.py wrote. No network is needed.
import assert from "node:assert/strict";
import { test } from "node:test";

import { iou } from "../engine/geometry.js";
import { crop, fromRgba, mirror, newImage, padEdge, roundHalfEven } from "../engine/image.js";
import { MtcnnDetector } from "../engine/mtcnn.js";
import { nms, nmsMin } from "../engine/nms.js";
import { brightened, findFaces, rightWayUp, stretch } from "../engine/rescue.js";
import {
  areaResize,
  areaResizeBoxes,
  areaResizeInto,
  areaResizeTable,
  pillowResize,
  resizeBilinear,
  shrink,
  summedArea,
} from "../engine/resize.js";
import { TurnedPicture } from "../engine/turn.js";
import { MadeDetector, MadeNetwork } from "./made.mjs";
import { bytes, floats, furthest, picture, vectors } from "./vectors.mjs";

const wanted = vectors("detector");

// Typed arrays of the same values, to the bit.
function same(got, expected, what) {
  assert.equal(got.length, expected.length, `${what}: length`);
  let apart = 0;
  for (let i = 0; i < got.length; i++) if (!Object.is(got[i], expected[i])) apart++;
  assert.equal(apart, 0, `${what}: ${apart} of ${got.length} values differ`);
}

function samePicture(got, expected, what) {
  assert.deepEqual([got.width, got.height], [expected.width, expected.height], what);
  same(got.data, bytes(expected.data), what);
}

test("pictures are resized to the bit", () => {
  for (const { picture: source, height, width, area, box, bilinear } of wanted.resizes) {
    const image = picture(source);
    const what = `${source.width}×${source.height} at ${width}×${height}`;
    same(areaResize(image, height, width), floats(area), `means of ${what}`);
    same(areaResizeTable(summedArea(image), height, width), floats(area), `means by table of ${what}`);
    same(pillowResize(image, width, height, "box").data, bytes(box), `box of ${what}`);
    same(pillowResize(image, width, height, "bilinear").data, bytes(bilinear), `bilinear of ${what}`);
  }
});

test("a part of a resized picture is cut from the whole", () => {
  for (const { picture: source, height, width, box, bilinear } of wanted.resizes) {
    const part = [Math.floor(width / 3), Math.floor(height / 4), Math.ceil(width * 0.8), height];
    for (const [filter, whole] of Object.entries({ box, bilinear })) {
      const cut = crop({ width, height, data: bytes(whole) }, ...part);
      const got = pillowResize(picture(source), width, height, filter, part);
      assert.deepEqual([got.width, got.height], [cut.width, cut.height]);
      same(got.data, cut.data, `${filter} of ${source.width}×${source.height} at ${width}×${height}`);
    }
  }
});

test("boxes of a picture are pictures of their own", () => {
  const { picture: source, boxes, size, cut } = wanted.boxes;
  const image = picture(source);
  same(areaResizeBoxes(summedArea(image), boxes, size), floats(cut), "by table");
  const each = 3 * size * size;
  const views = new Float32Array(boxes.length * each);
  boxes.forEach((box, i) => areaResizeInto(image, box, size, size, views, i * each));
  same(views, floats(cut), "one by one");
});

test("sums that wrap still give means", () => {
  const table = summedArea(newImage(60, 80, new Uint8Array(3 * 60 * 80).fill(200)));
  for (let i = 0; i < table.sums.length; i++) table.sums[i] += 2 ** 31 - 100_000;
  assert.deepEqual(new Set(areaResizeTable(table, 7, 9)), new Set([200]));
});

test("planes are resized to the bit", () => {
  for (const { planes, shape: [count, height, width], size, resized } of wanted.planes) {
    same(resizeBilinear(floats(planes), count, height, width, size), floats(resized), `${height}×${width} at ${size}`);
  }
});

test("pictures are shrunk as Python rounds", () => {
  for (const { picture: source, side, small, scale } of wanted.shrunk) {
    const shrunk = shrink(picture(source), side);
    assert.equal(shrunk.scale, scale);
    samePicture(shrunk.image, small, `${source.width}×${source.height} at ${side}`);
  }
  assert.deepEqual([0.5, 1.5, 2.5, 2.6, 2.4, -0.5, -1.5].map((value) => roundHalfEven(value) + 0), [0, 2, 2, 3, 2, 0, -2]);
});

test("pictures are turned to the bit, and places come back", () => {
  for (const one of wanted.turns) {
    const copy = TurnedPicture.of(picture(one.picture), one.degrees);
    samePicture(copy.image, one.copy, `${one.degrees} degrees`);
    assert.ok(furthest(copy.boxOf(one.box), one.box_of) < 1e-12);
    assert.ok(furthest(copy.boxBack(one.box), one.box_back) < 1e-12);
    assert.ok(furthest(copy.pointsBack(one.points), one.points_back) < 1e-12);
  }
});

test("faint pictures are stretched to the bit", () => {
  for (const [i, { picture: source, bright, stretch: times }] of wanted.stretches.entries()) {
    samePicture(brightened(picture(source)), bright, `picture ${i}`);
    assert.equal(stretch(picture(source)), times, `picture ${i}`);
  }
});

test("the same boxes are left, in the same order, ties as well", () => {
  for (const one of wanted.suppressions) {
    const [boxes, scores] = [floats(one.boxes), floats(one.scores)];
    for (const [threshold, kept] of Object.entries(one.nms)) assert.deepEqual(nms(boxes, scores, +threshold), kept);
    for (const [threshold, kept] of Object.entries(one.nms_min)) assert.deepEqual(nmsMin(boxes, scores, +threshold), kept);
  }
  assert.ok(wanted.suppressions.some(({ nms: kept }) => kept["0.5"].length > 20));
});

// --- pictures -------------------------------------------------------------------------------

const row = newImage(3, 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));

test("a canvas's bytes lose their fourth channel", () => {
  const image = fromRgba(Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255, 7, 8, 9, 255), 3, 1);
  assert.deepEqual(image, row);
  assert.throws(() => fromRgba(new Uint8Array(9), 3, 1), /has 12 bytes, not 9\./);
  assert.throws(() => newImage(2, 2, new Uint8Array(4)), /has 12 bytes, not 4\./);
});

test("parts, mirrors and borders", () => {
  assert.deepEqual([...mirror(row).data], [7, 8, 9, 4, 5, 6, 1, 2, 3]);
  assert.deepEqual(crop(row, 1, -5, 9, 9), newImage(2, 1, Uint8Array.of(4, 5, 6, 7, 8, 9)));
  assert.equal(crop(row, 5, 0, 9, 9).width, 0);
  const padded = padEdge(crop(row, 1, 0, 3, 1), 1);
  const line = [4, 5, 6, 4, 5, 6, 7, 8, 9, 7, 8, 9];
  assert.deepEqual(padded, newImage(4, 3, Uint8Array.from([...line, ...line, ...line])));
});

// --- made networks and detectors ------------------------------------------------------------

test("the cascade with made networks gives the same numbers and batches", async () => {
  const { picture: source, searches, boxes, refined, rows } = wanted.cascade;
  const networks = Object.fromEntries(Object.keys(rows).map((name) => [name, new MadeNetwork(name)]));
  const detector = new MtcnnDetector(networks, { minScore: 0.7 });
  const image = picture(source);
  for (const { smallest: minFaceSize, side: maxSide, faces } of searches) {
    assert.ok(faces.length > 3);
    assert.equal(furthest(await detector.detect(image, { minFaceSize, maxSide }), faces), 0);
  }
  assert.equal(furthest(await detector.refine(image, boxes), refined), 0);
  assert.deepEqual(Object.fromEntries(Object.entries(networks).map(([name, one]) => [name, one.rows])), rows);
  assert.ok(rows.rnet.includes(512));
});

test("the same copies are looked at again, in the same order, and the same faces kept", async () => {
  for (const { picture: source, made, search, looks, faces } of [...wanted.looks, ...wanted.turned_faces]) {
    const detector = new MadeDetector(...made);
    const { detections } = await findFaces(detector, picture(source), search);
    assert.ok(furthest(detector.looks, looks) < 1e-9);
    assert.ok(furthest(detections, faces) < 1e-9);
  }
});

// It finds one face in a picture, upright only in the copy that is turned round, and doubts it.
class HeadOverHeels {
  constructor(here, round) {
    Object.assign(this, { here, round, refined: 0 });
  }

  face({ width, height, data }) {
    const [places, columns] = [[], []];
    for (let i = 0; i < width * height; i++) if (data[3 * i] > 200) places.push(Math.floor(i / width)), columns.push(i % width);
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [x, y] = [mean(columns), mean(places)];
    const landmarks = [[x - 9, y - 9], [x + 9, y - 9], [x, y], [x - 7, y + 9], [x + 7, y + 9]];
    return { box: [x - 20, y - 20, x + 20, y + 20], score: 1 - (y > height / 2 ? this.round : this.here), landmarks };
  }

  async detect(image) {
    return [this.face(image)];
  }

  async refine(image, boxes) {
    this.refined++;
    return boxes.map(() => (image.height > image.width ? null : this.face(image)));
  }
}

test("a face is turned only when that is clearly better", async () => {
  const image = newImage(140, 100);
  for (let y = 24; y < 28; y++) image.data.fill(255, 3 * (140 * y + 66), 3 * (140 * y + 70));
  for (const [here, round, turned, looks] of [[0.02, 0.001, true, 4], [0.02, 0.01, false, 4], [0.00005, 0.000001, false, 0], [0.001, 0.02, false, 4]]) {
    const detector = new HeadOverHeels(here, round);
    const before = await detector.detect(image);
    const [after] = await rightWayUp(detector, image, before);
    assert.equal(after.landmarks[0][0] > after.landmarks[1][0], turned);
    assert.equal(after === before[0], !turned);
    assert.ok(iou(after.box, before[0].box) > 0.8);
    assert.equal(detector.refined, looks);
  }
});

test("an answer that is no number is no face, and none is surer than sure", async () => {
  const said = (point, score) => ({ run: async () => [[0, 0, 0, 0], Array(10).fill(point), [0, score]].map((data) => ({ data })) });
  const wide = newImage(40, 40);
  const [face] = await new MtcnnDetector({ onet: said(0.5, 1.0000001) }).refine(wide, [[5, 5, 30, 30]]);
  assert.equal(face.score, 1);
  assert.deepEqual(await new MtcnnDetector({ onet: said(Infinity, 1) }).refine(wide, [[5, 5, 30, 30]]), [null]);
});

test("what cannot be is one sentence", async () => {
  assert.throws(() => new MtcnnDetector({}, { minFaceSize: 3 }), /^RangeError: minFaceSize must be at least 12 pixels, not 3\.$/);
  assert.throws(() => new MtcnnDetector({}, { maxSide: NaN }), /maxSide must be at least 12 pixels, not NaN\./);
  assert.throws(() => new MtcnnDetector({}, { minScore: 2 }), /minScore must lie in 0 to 1, not 2\./);
  await assert.rejects(new MtcnnDetector({}).detect(row, { maxSide: 3 }), /maxSide must be at least 12/);
  await assert.rejects(findFaces(new MtcnnDetector({}), row, "hard"), /search must be auto, thorough, plain, not "hard"\./);
  assert.throws(() => pillowResize(row, 2, 1, "cubic"), /The filter must be box or bilinear, not cubic\./);
  assert.throws(() => pillowResize(row, 0, 1, "box"), /at least one pixel/);
});

test("no boxes and no room are no faces, without a network", async () => {
  const detector = new MtcnnDetector({});
  assert.deepEqual(await detector.refine(row, []), []);
  assert.deepEqual(await detector.refine(row, [[5, 5, 9, 9]]), [null]);
  assert.deepEqual(await detector.detect(row), []);
});
