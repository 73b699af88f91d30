// Crops, quality, calibration and records against Python's, on what
// tests/browser_vectors_reader.py wrote. No network is needed.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Analyzer, perhapsNoFace } from "../engine/analyzer.js";
import { predict } from "../engine/calibration.js";
import { align, CROP_SIZE, iou, squareCorners } from "../engine/geometry.js";
import { Predictor } from "../engine/predictor.js";
import { measureQuality, qualityFlags } from "../engine/quality.js";
import {
  csvText,
  errorRecord,
  faceRecord,
  floatText,
  jsonText,
  pictureRecord,
  rounded,
  scaledFace,
  trackedRecord,
} from "../engine/records.js";
import { activate, decode, labelOf, taskSpec } from "../engine/tasks.js";
import { appearanceEmbedding } from "../engine/tracks.js";
import { bytes, faceOf, floats, furthest, picture, vectors } from "./vectors.mjs";

const wanted = vectors("reader");
const tasks = wanted.info.tasks.map(taskSpec);
const specs = Object.fromEntries(tasks.map((spec) => [spec.name, spec]));
const pictures = Object.fromEntries(
  Object.entries(wanted.pictures).map(([name, one]) => [name, picture(one)]),
);

test("aligned crops are Python's to the bit", () => {
  for (const [i, one] of wanted.crops.entries()) {
    const crop = align(pictures[one.picture], one.landmarks, CROP_SIZE, one.template);
    const apart = bytes(one.crop).filter((value, at) => value !== crop.data[at]).length;
    assert.equal(apart, 0, `${apart} bytes of crop ${i} of ${one.picture} differ`);
  }
  assert.ok(wanted.crops.length > 50);
});

test("quality, its flags and the embedding", () => {
  const seen = new Set();
  for (const one of wanted.crops) {
    const { width, height } = pictures[one.picture];
    const crop = { width: CROP_SIZE, height: CROP_SIZE, data: bytes(one.crop) };
    const corners = squareCorners(one.landmarks, one.template);
    assert.ok(furthest(corners, one.corners) < 1e-9);
    const quality = measureQuality(crop, one.landmarks, width, height, one.template);
    const [size, sharpness, ...rest] = one.quality;
    // Of a flat crop it is nothing but what float32 leaves.
    assert.ok(Math.abs(quality.sharpness - sharpness) < 2e-5, `sharpness ${quality.sharpness}, not ${sharpness}`);
    const others = [quality.size, quality.brightness, quality.yaw, quality.outOfFrame];
    assert.ok(furthest(others, [size, ...rest]) < 1e-6);
    assert.deepEqual(qualityFlags(quality), one.flags);
    one.flags.forEach((flag) => seen.add(flag));
    assert.ok(furthest(appearanceEmbedding(crop), floats(one.embedding)) < 1e-6);
  }
  assert.deepEqual([...seen].sort(), ["blurred", "cut off", "dark", "small", "turned"]);
});

test("landmarks in one point are no face", () => {
  const image = { width: 9, height: 9, data: new Uint8Array(243) };
  const point = Array(5).fill([4, 4]);
  assert.throws(() => align(image, point, CROP_SIZE), /do not span a face/);
  assert.throws(() => squareCorners(Array(5).fill([NaN, 1])), /do not span a face/);
});

test("overlap of boxes", () => {
  assert.equal(iou([0, 0, 2, 2], [0, 0, 2, 1]), 0.5);
  assert.equal(iou([0, 0, 2, 2], [2, 0, 4, 2]), 0);
});

test("raw outputs become values", () => {
  for (const { task, raw, values } of wanted.activated) {
    assert.ok(furthest(activate(specs[task], floats(raw)), values) < 1e-15);
  }
});

test("calibrated predictions", () => {
  for (const { task, value, prediction } of wanted.values) {
    const { spec, ...got } = predict(specs[task], value, wanted.info.calibration[task]);
    assert.equal(spec.name, task);
    assert.ok(furthest(got, prediction, task) < 1e-13, task);
  }
});

test("of two classes the second at one half, of several the earlier on a tie", () => {
  for (const spec of tasks.filter(({ kind }) => kind !== "regression")) {
    const even = spec.kind === "binary" ? 0.5 : spec.classes.map(() => 1 / spec.classes.length);
    assert.equal(labelOf(decode(spec, even)), spec.classes[spec.kind === "binary" ? 1 : 0]);
  }
});

test("what is no answer is refused", () => {
  for (const spec of tasks) {
    const value = spec.kind === "categorical" ? spec.classes.map(() => NaN) : NaN;
    assert.throws(() => decode(spec, value), /must/);
  }
  assert.throws(() => taskSpec({ name: "a", kind: "other" }), /A task is/);
});

test("numbers are rounded and written as Python does", () => {
  for (const [value, byDigits, text] of wanted.numbers) {
    [1, 2, 4, 6].forEach((digits, i) => {
      const got = rounded(value, digits);
      assert.ok(Object.is(got, byDigits[i]), `${value} to ${digits} digits: ${got}, not ${byDigits[i]}`);
    });
    assert.equal(floatText(value), text);
  }
});

test("records are Python's to the character", () => {
  for (const { file, search, network, faces, error, json, csv } of wanted.texts) {
    const record = error
      ? [errorRecord(file, error)]
      : pictureRecord({
          file,
          width: 640,
          height: 480,
          search,
          network,
          faces: faces.map((face) => faceOf(face, tasks)),
        });
    assert.equal(jsonText(record, tasks), json);
    assert.equal(csvText([record].flat(), tasks), csv);
  }
});

test("a face of a smaller copy in pixels of the original, and one of a stream", () => {
  const face = faceOf(wanted.texts[1].faces[0], tasks);
  const large = scaledFace(face, 2, 4);
  const [x1, y1, x2, y2] = face.detection.box;
  assert.deepEqual(large.detection.box, [2 * x1, 4 * y1, 2 * x2, 4 * y2]);
  assert.deepEqual(large.detection.landmarks[4], face.detection.landmarks[4].map((v, i) => v * [2, 4][i]));
  assert.equal(large.predictions, face.predictions);
  const record = trackedRecord({ trackId: 3, face, settled: false });
  assert.deepEqual(Object.keys(record).slice(0, 3), ["track_id", "settled", "box"]);
  assert.deepEqual(record, { track_id: 3, settled: false, ...faceRecord(face) });
});

// A network that answers with the brightness of each face's left edge, and keeps how many it saw.
function edges(info) {
  const seen = [];
  return {
    seen,
    outputs: info.tasks.map(({ name }) => name).reverse(),
    async run(data, dims) {
      seen.push(dims);
      const [count, , size] = dims;
      return [...tasks].reverse().map((spec) => {
        const width = spec.kind === "categorical" ? spec.classes.length : 1;
        const answers = Array.from({ length: count * width }, (_, i) =>
          data[Math.floor(i / width) * 3 * size * size] * (1 + (i % width)),
        );
        return { data: Float32Array.from(answers), dims: [count, width] };
      });
    },
  };
}

const plain = { ...wanted.info, input: { size: 64, mean: [0, 0, 0], std: [1, 1, 1], template: "face" }, calibration: {} };
const half = { width: 128, height: 128, data: Uint8Array.from({ length: 128 * 128 * 3 }, (_, i) => (i % 384 < 192 ? 255 : 0)) };

test("the mirror image counts as much as the face", async () => {
  const network = edges(plain);
  const predictor = new Predictor(network, plain);
  const [first] = tasks.filter(({ kind }) => kind === "regression");
  const [{ [first.name]: one, ...others }] = await predictor.predict([half], { mirror: false });
  assert.equal(one.value, 1);
  assert.deepEqual(Object.keys(others), tasks.slice(1).map(({ name }) => name));
  const [both] = await predictor.predict([half]);
  assert.equal(both[first.name].value, 0.5);
  assert.deepEqual(await predictor.predict([]), []);
  assert.deepEqual(network.seen, Array(3).fill([1, 3, 64, 64]));
});

test("a graph of other tasks is refused", async () => {
  const network = edges(plain);
  assert.throws(() => new Predictor({ ...network, outputs: ["other"] }, plain), /The graph answers other, but/);
  const short = { ...network, run: async (...given) => (await network.run(...given)).map(() => ({ data: new Float32Array(9) })) };
  await assert.rejects(new Predictor(short, plain).predict([half]), /answers 9 numbers/);
});

test("a crowd is read in parts", async () => {
  const network = edges(plain);
  const analyzer = new Analyzer({ detector: null, network, info: plain });
  const { landmarks } = wanted.crops[0];
  const detection = { box: [0, 0, 9, 9], score: 0.9, landmarks };
  const faces = await analyzer.readFaces(pictures[wanted.crops[0].picture], Array(70).fill(detection));
  assert.equal(faces.length, 70);
  assert.deepEqual(network.seen.map(([count]) => count), [64, 64, 6, 6]);
});

test("what is perhaps no face", () => {
  const [spec] = tasks.filter(({ kind }) => kind === "binary");
  const answers = (positive) => ({ [spec.name]: decode(spec, positive) });
  assert.ok(perhapsNoFace({ score: 0.98 }, answers(0.31)));
  assert.ok(!perhapsNoFace({ score: 0.99 }, answers(0.31)));
  assert.ok(!perhapsNoFace({ score: 0.98 }, answers(0.3)));
  assert.ok(!perhapsNoFace({ score: 0.98 }, {}));
});
