// Whole pictures and films with the shipped networks, on what tests/browser_vectors_whole.py wrote:
// the same faces, flags and numbers of people, the same answers within what a reader could see.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Analyzer } from "../engine/analyzer.js";
import { MtcnnDetector } from "../engine/mtcnn.js";
import { pictureRecord, trackedRecord } from "../engine/records.js";
import { mtcnnNetworks, network, withNetworks } from "./runtime.mjs";
import { FOLDER, furthest, vectors } from "./vectors.mjs";

const BOX = 0.01; // pixels
const NUMBER = 0.05; // years, of a regression
const SHARE = 1e-3; // of probabilities and scores

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
function apart(faces, wanted, most) {
  assert.equal(faces.length, wanted.length);
  faces.forEach(({ detection, predictions, qualityFlags }, i) => {
    const other = wanted[i];
    assert.deepEqual(qualityFlags, other.flags);
    const { score, ...places } = other.detection;
    most.box = Math.max(most.box, furthest({ box: detection.box, landmarks: detection.landmarks }, places));
    most.share = Math.max(most.share, Math.abs(detection.score - score));
    for (const { spec, ...got } of Object.values(predictions)) {
      const kind = spec.kind === "regression" ? "number" : "share";
      most[kind] = Math.max(most[kind], furthest(got, other.predictions[spec.name], spec.name));
    }
  });
}

function checked(most, t, what) {
  t.diagnostic(`${what}: boxes ${most.box} px, regressions ${most.number}, probabilities ${most.share} apart`);
  assert.ok(most.box < BOX && most.number < NUMBER && most.share < SHARE, JSON.stringify(most));
}

for (const one of read) {
  test(`pictures and films with the ${one.precision} network`, withNetworks, async (t) => {
    const analyzer = await analyzerOf(one);
    for (const [name, wanted] of Object.entries(one.pictures)) {
      const most = { box: 0, number: 0, share: 0 };
      const picture = opened(pictures[name]);
      const faces = await analyzer.analyze(picture);
      apart(faces, wanted.faces, most);
      checked(most, t, name);
      const { width, height } = picture;
      const network = wanted.record.network;
      const record = pictureRecord({ file: name, width, height, search: "plain", faces, network });
      assert.deepEqual(Object.keys(record), Object.keys(wanted.record));
      faces.forEach((_, i) => {
        assert.deepEqual(Object.keys(record.faces[i]), Object.keys(wanted.record.faces[i]));
      });
    }
    for (const [name, frames] of Object.entries(films)) {
      const most = { box: 0, number: 0, share: 0 };
      const tracker = analyzer.tracker();
      for (const [i, frame] of frames.entries()) {
        const wanted = one.films[name][i];
        const tracked = await tracker.update(opened(frame), frame.time);
        const people = (all) => all.map(({ trackId, settled }) => [trackId, settled]);
        assert.deepEqual(people(tracked), people(wanted), `${name} ${i}`);
        apart(tracked.map(({ face }) => face), wanted.map(({ face }) => face), most);
        tracked.forEach((face) => assert.equal(trackedRecord(face).track_id, face.trackId));
      }
      checked(most, t, name);
    }
  });
}
