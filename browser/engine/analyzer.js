// The whole path from a picture to its faces in one object.

import { align, CROP_SIZE } from "./geometry.js";
import { checkImage } from "./image.js";
import { Predictor } from "./predictor.js";
import { measureQuality, qualityFlags } from "./quality.js";
import { findFaces } from "./rescue.js";
import { probabilityOf } from "./tasks.js";
import { FaceTracker } from "./tracker.js";

const SURE_SCORE = 0.99; // below both, it is perhaps no face
const SURE_ANSWER = 0.7;
const BATCH = 64; // faces at once: bounds the memory of a crowd

// Finds, aligns and reads faces; holds no state of a session.
export class Analyzer {
  constructor({ detector, network, info, predictor = new Predictor(network, info) }) {
    this.detector = detector;
    this.predictor = predictor;
    this.info = predictor.info;
    this.tasks = predictor.tasks;
  }

  // Every face of a picture, the largest first; empty when none is found. `search` says whether to
  // look again for faces that are turned, small or in the dark: where none was found ("auto"),
  // always ("thorough") or never ("plain").
  async analyze(image, { search = "auto" } = {}) {
    const { detections } = await this.find(image, search);
    return this.readFaces(image, detections);
  }

  // Where the faces of a picture are, and how it was searched in the end.
  find(image, search = "auto") {
    checkImage(image);
    return findFaces(this.detector, image, search);
  }

  // What the network says of faces that were found in a picture, in their order.
  async readFaces(image, detections) {
    const faces = [];
    for (let start = 0; start < detections.length; start += BATCH) {
      const batch = detections.slice(start, start + BATCH);
      const crops = this.crops(image, batch);
      const predictions = await this.read(crops, { mirror: true });
      const flags = this.qualityFlags(image, batch, crops);
      batch.forEach((detection, i) => {
        const doubt = perhapsNoFace(detection, predictions[i]) ? ["perhaps no face"] : [];
        faces.push({ detection, predictions: predictions[i], qualityFlags: [...flags[i], ...doubt] });
      });
    }
    return faces;
  }

  // A tracker for one video; thresholds are those of tracks.js.
  tracker(thresholds = {}) {
    return new FaceTracker(this, thresholds);
  }

  // The aligned crop of each face.
  crops(image, detections) {
    return detections.map(({ landmarks }) => align(image, landmarks, CROP_SIZE, this.info.input.template));
  }

  // What the network says of each aligned crop; see `Predictor.predict`.
  read(crops, { mirror }) {
    return this.predictor.predict(crops, { mirror });
  }

  // Reasons to distrust the answer for each face of a picture, given its crops and, where they are
  // known, their greys.
  qualityFlags({ width, height }, detections, crops, greys = []) {
    return detections.map(({ landmarks }, i) =>
      qualityFlags(measureQuality(crops[i], landmarks, width, height, this.info.input.template, greys[i])),
    );
  }
}

// Whether the detector is less sure than it is of most faces, and the network cannot tell between
// two classes either: of lions, dolls and patterns, and seldom of people.
export function perhapsNoFace({ score }, predictions) {
  const sure = Object.values(predictions)
    .filter(({ spec }) => spec.kind === "binary")
    .map(probabilityOf);
  return score < SURE_SCORE && sure.length > 0 && Math.max(...sure) < SURE_ANSWER;
}
