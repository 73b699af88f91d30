// Whole pictures and films with the shipped networks, on what tests/browser_vectors_whole.py wrote:
// the same faces, flags and numbers of people, the same answers within what a reader could see.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Analyzer } from "../engine/analyzer.js";
import { MtcnnDetector } from "../engine/mtcnn.js";
import { pictureRecord } from "../engine/records.js";
import { mtcnnNetworks, network, withNetworks } from "./runtime.mjs";
import { FOLDER, furthest, vectors } from "./vectors.mjs";

// How far apart boxes may be in pixels, regressions in years, and probabilities and scores. In int8
// the last bit of a landmark moves an answer as far as this: Python's own, where its detector's
// landmarks are moved by a hundred-thousandth of a pixel.
const LIMITS = {
  float: { box: 0.01, number: 0.05, share: 1e-3 },
  int8: { box: 0.01, number: 1, share: 0.05 },
};
// And where the detections are Python's own.
const GIVEN = { box: 1e-9, number: 1e-4, share: 1e-5 };

const { pictures, films, read } = vectors("whole");
const graphs = { float: "agegendernet.onnx", int8: "agegendernet.int8.onnx" };

function opened({ file, width, height }) {
  return { width, height, data: new Uint8Array(readFileSync(join(FOLDER, file))) };
}

async function analyzerOf({ precision, info }) {
  const detector = new MtcnnDetector(await mtcnnNetworks());
  return new Analyzer({ detector, network: await network(graphs[precision], "agegendernet.safetensors"), info });
}

// How far apart the faces of two pictures are, by kind of number; throws where what is no number
// differs.
function apart(faces, wanted, exactly = true) {
  const most = { box: 0, number: 0, share: 0 };
  assert.equal(faces.length, wanted.length);
  faces.forEach(({ detection, predictions, qualityFlags }, i) => {
    const other = wanted[i];
    assert.deepEqual(qualityFlags, other.flags);
    const { score, ...places } = other.detection;
    most.box = Math.max(most.box, furthest({ box: detection.box, landmarks: detection.landmarks }, places));
    most.share = Math.max(most.share, Math.abs(detection.score - score));
    for (const { spec, confident, ...got } of Object.values(predictions)) {
      const kind = spec.kind === "regression" ? "number" : "share";
      const { confident: sure, ...answer } = other.predictions[spec.name];
      most[kind] = Math.max(most[kind], furthest(got, answer, spec.name));
      if (exactly) assert.equal(confident, sure);
    }
  });
  return most;
}

function checked(most, limits, t, what) {
  t.diagnostic(`${what}: boxes ${most.box} px, regressions ${most.number}, probabilities ${most.share} apart`);
  for (const [kind, limit] of Object.entries(limits)) assert.ok(most[kind] <= limit, `${what}: ${kind} ${most[kind]}`);
}

for (const one of read) {
  const limits = LIMITS[one.precision];
  const exactly = one.precision === "float";

  test(`pictures with the ${one.precision} network`, withNetworks, async (t) => {
    const analyzer = await analyzerOf(one);
    for (const [name, wanted] of Object.entries(one.pictures)) {
      const picture = opened(pictures[name]);
      const given = await analyzer.readFaces(picture, wanted.faces.map(({ detection }) => detection));
      checked(apart(given, wanted.faces), GIVEN, t, `${name}, its faces given`);
      const faces = await analyzer.analyze(picture);
      checked(apart(faces, wanted.faces, exactly), limits, t, name);
      const { width, height } = picture;
      const { network } = wanted.record;
      const record = pictureRecord({ file: name, width, height, search: "plain", faces: given, network });
      assert.deepEqual(Object.keys(record), Object.keys(wanted.record));
      // A rounded number may fall to the other side.
      assert.ok(furthest(record, wanted.record, name) < 0.011);
    }
  });

  test(`films with the ${one.precision} network`, withNetworks, async (t) => {
    const analyzer = await analyzerOf(one);
    for (const [name, frames] of Object.entries(films)) {
      const tracker = analyzer.tracker();
      const all = { got: [], wanted: [] };
      for (const [i, frame] of frames.entries()) {
        const wanted = one.films[name][i];
        const tracked = await tracker.update(opened(frame), frame.time);
        const people = (faces) => faces.map(({ trackId, settled }) => [trackId, settled]);
        assert.deepEqual(people(tracked), people(wanted), `${name} ${i}`);
        all.got.push(...tracked.map(({ face }) => face));
        all.wanted.push(...wanted.map(({ face }) => face));
      }
      assert.ok(all.got.length > 10, `${name}: ${all.got.length} faces`);
      checked(apart(all.got, all.wanted, exactly), limits, t, name);
    }
  });
}
