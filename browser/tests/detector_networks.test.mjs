// Faces against Python's, on what tests/browser_vectors_detector.py wrote; with ONNX Runtime.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { MtcnnDetector } from "../engine/mtcnn.js";
import { findFaces, surely } from "../engine/rescue.js";
import { mtcnnNetworks, withNetworks } from "./runtime.mjs";
import { furthest, picture, vectors } from "./vectors.mjs";

const PIXELS = 0.01; // that a box or a landmark may be off

describe("faces with their networks", withNetworks, () => {
  let wanted;
  let detector;

  before(async () => {
    wanted = vectors("faces");
    detector = new MtcnnDetector(await mtcnnNetworks());
  });

  function alike(got, expected, what) {
    assert.equal(got.length, expected.length, `${what}: how many`);
    got.forEach((face, i) => {
      const other = expected[i];
      if (face === null || other === null) {
        assert.equal(face, other, `${what}: face ${i}`);
        return;
      }
      const far = Math.max(furthest(face.box, other.box), furthest(face.landmarks, other.landmarks));
      assert.ok(far <= PIXELS, `${what}: face ${i} is ${far} pixels off`);
      assert.ok(furthest(face.score, other.score) < 1e-4, `${what}: score ${i} is ${face.score}, not ${other.score}`);
    });
  }

  test("pictures of every kind hold the same faces in the same order", async () => {
    for (const { name, picture: source, asked, search, faces } of wanted.searches) {
      const found = await findFaces(detector, picture(source), asked);
      assert.equal(found.search, search, name);
      alike(found.detections, faces, name);
    }
    const searched = Object.fromEntries(wanted.searches.map(({ name, search, faces }) => [name, `${search}, ${faces.length}`]));
    assert.deepEqual(searched, {
      astronaut: "plain, 1",
      solvay: "plain, 29",
      "on its head": "plain, 0",
      "on its side": "thorough, 1",
      "lying, found as if upright": "plain, 1",
      "one upright, one lying": "plain, 2",
      aslant: "thorough, 1",
      dark: "thorough, 1",
      "larger than its picture": "thorough, 1",
      "small in a large one": "thorough, 1",
      thoroughly: "thorough, 1",
      "a wall": "thorough, 0",
      "a pixel": "thorough, 0",
    });
  });

  test("faces near boxes are the same, and none where none is", async () => {
    const { picture: source, boxes, faces } = wanted.refined;
    assert.ok(faces.includes(null) && faces.filter(Boolean).length > 20);
    alike(await detector.refine(picture(source), boxes), faces, "refined");
  });

  test("a camera's picture, searched small", async () => {
    const found = await detector.detect(picture(wanted.live.picture), { minFaceSize: 30, maxSide: 320 });
    assert.ok(found.length);
    alike(found, wanted.live.faces, "live");
  });

  test("what the mirror does not show is no face", async () => {
    const { picture: source, faces, sure } = wanted.surely;
    assert.ok(sure.length && sure.length < faces.length);
    alike(await surely(detector, picture(source), faces), sure, "surely");
  });
});
