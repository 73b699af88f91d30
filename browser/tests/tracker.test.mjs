// Who is seen again and what settles, on streams that tests/browser_vectors_tracker.py made. No
// network is needed.
import assert from "node:assert/strict";
import { test } from "node:test";

import { faceRecord } from "../engine/records.js";
import { taskSpec } from "../engine/tasks.js";
import { FaceTracker } from "../engine/tracker.js";
import { thresholds, Tracks } from "../engine/tracks.js";
import { floats, furthest, predictionsOf, vectors } from "./vectors.mjs";

const { info, streams } = vectors("tracker");
const tasks = info.tasks.map(taskSpec);

function observed({ detection, look, flags, predictions }, looks) {
  const read = predictions && predictionsOf(predictions, tasks);
  return { detection, embedding: looks[look], qualityFlags: flags, predictions: read };
}

// What of a tracked face the streams tell, the tasks left out.
function told({ trackId, settled, face }) {
  const predictions = Object.entries(face.predictions).map(([name, { spec, ...rest }]) => [name, rest]);
  return { trackId, settled, predictions: Object.fromEntries(predictions) };
}

for (const stream of streams) {
  test(`a stream of people: ${stream.name}`, () => {
    const looks = stream.looks.map(floats);
    const tracks = new Tracks(info, thresholds(stream.thresholds));
    for (const frame of stream.frames) {
      const when = `${stream.name} at ${frame.time} s`;
      const faces = frame.faces.map((one) => observed(one, looks));
      if (frame.cut) tracks.cut();
      assert.ok(furthest(tracks.expected(frame.time), frame.expected, when) < 1e-6);
      const embeddings = faces.map((one) => one.embedding);
      assert.deepEqual(tracks.due(faces.map((one) => one.detection.box), embeddings, frame.time), frame.due, when);
      const shown = tracks.update(faces, frame.time);
      const far = furthest(shown.map(told), frame.shown, when);
      assert.ok(far < 1e-9, `${when}: ${far} apart`);
      shown.forEach(({ face }, i) => {
        assert.equal(face.detection, faces[i].detection);
        assert.deepEqual(faceRecord(face).quality_flags, frame.faces[i].flags);
      });
    }
    assert.equal(tracks.nextId, stream.nextId);
  });
}

test("the streams hold what they are for", () => {
  const all = streams.flatMap(({ frames }) => frames.flatMap(({ shown }) => shown));
  assert.ok(all.some(({ settled }) => settled) && all.some(({ settled }) => !settled));
  const ids = Object.fromEntries(streams.map(({ name, nextId }) => [name, nextId - 1]));
  assert.deepEqual([ids.crossing, ids.leaving, ids.replaced, ids.contradicted], [2, 3, 2, 1]);
});

test("thresholds that are none", () => {
  assert.throws(() => thresholds({ search_every: 1 }), /no threshold search_every/);
  assert.throws(() => thresholds({ near: -1 }), /near must be a number from 0, not -1/);
  assert.throws(() => thresholds({ near: NaN }), /near must/);
  assert.throws(() => new FaceTracker({ info }, { toString: 1 }), /no threshold/);
});

test("someone new must be read", () => {
  const face = { ...observed(streams[0].frames[0].faces[0], streams[0].looks.map(floats)), predictions: null };
  assert.throws(() => new Tracks(info).update([face], 0), /must be read/);
});

// A detector that finds what it is told, and keeps what it was asked.
function made(found) {
  const asked = [];
  return {
    asked,
    async detect(image, options) {
      asked.push(["detect", image.width, image.height, options, Math.max(...image.data)]);
      return found.shift() ?? [];
    },
    async refine(image, boxes) {
      asked.push(["refine", image.width, image.height, boxes.length]);
      return boxes.map(() => null);
    },
  };
}

const analyzer = (detector) => ({
  info,
  detector,
  crops: () => [],
  qualityFlags: () => [],
  read: async () => [],
});
const frame = { width: 6, height: 4, data: Uint8Array.from({ length: 72 }, (_, i) => i) };

test("where nobody is, frames are searched bright and turned too, every second one as it is", async () => {
  const detector = made([]);
  const tracker = new FaceTracker(analyzer(detector), { searchSide: 100.5 });
  assert.equal(tracker.lastSeen, -Infinity);
  for (let i = 0; i < 14; i++) await tracker.update(frame, 0.6 * i);
  assert.deepEqual(detector.asked[0], ["detect", 6, 4, { minFaceSize: 30, maxSide: 100 }, 71]);
  const sizes = detector.asked.map(([, width, height]) => `${width}x${height}`);
  const [wide, tall, square] = ["6x4", "4x6", "8x8"];
  const views = [wide, tall, tall, square, square, wide];
  assert.deepEqual(sizes, [wide, wide, ...views.flatMap((view) => [view, wide])]);
  assert.deepEqual(detector.asked.map((one) => one.at(-1) > 71), sizes.map((_, i) => i === 2));
  assert.ok(Math.abs(tracker.lastSeen - 7.8) < 1e-9);
});

test("what is no frame or no time is refused", async () => {
  const tracker = new FaceTracker(analyzer(made([])));
  await assert.rejects(tracker.update(frame, NaN), /finite number of seconds/);
  await assert.rejects(tracker.update({ ...frame, width: 7 }, 0), /RGB bytes/);
  await assert.rejects(tracker.update(undefined, 0), /RGB bytes/);
});
