// The faces of a video, frame by frame, each with the number of its person.

import { iou } from "./geometry.js";
import { checkImage } from "./image.js";
import { greyOf } from "./quality.js";
import { brightened, faceBack, surely } from "./rescue.js";
import { appearanceEmbedding, thresholds as allThresholds, Tracks } from "./tracks.js";
import { TurnedPicture } from "./turn.js";

// Degrees and whether brightened: how frames are searched in turn where no face is seen.
const VIEWS = [[0, true], [90, false], [270, false], [45, false], [315, false], [180, false]];
const AS_IT_IS = [0, false];

// Follows the faces of one stream. It keeps whom it has seen, so it is one stream's own, and its
// frames come one after the other; the analyzer may be shared. Known faces are followed; the whole
// frame is searched, on a small copy, only from time to time and when a face is lost; and the
// network reads each face some times a second, in turns when there are many.
export class FaceTracker {
  // `thresholds` are any of tracks.js, by name, in place of their defaults.
  constructor(analyzer, thresholds = {}) {
    this.analyzer = analyzer;
    this.thresholds = allThresholds(thresholds);
    this.tracks = new Tracks(analyzer.info, this.thresholds);
    this.searched = -Infinity;
    this.faced = Infinity; // when a face was last seen, or the first frame came
    this.view = AS_IT_IS; // of the frames in which faces are seen
    this.tries = 0; // searches since none is seen
  }

  // When a frame was last searched or held a face, in seconds of the caller's clock; minus infinity
  // before the first.
  get lastSeen() {
    return Math.max(this.searched, ...this.tracks.people.map(({ seen }) => seen));
  }

  // The faces of the next frame as `{ trackId, face, settled }`, with settled predictions. `time` is
  // in seconds of a clock that only goes forward; `cut` says that this frame begins another shot, so
  // that nobody is where they were; `searchEvery` stands in for the threshold.
  async update(frame, time, { cut = false, searchEvery = this.thresholds.searchEvery } = {}) {
    if (!Number.isFinite(time)) throw new RangeError(`time must be a finite number of seconds, not ${time}`);
    checkImage(frame);
    const { analyzer, tracks } = this;
    if (cut) {
      tracks.cut();
      this.searched = -Infinity;
    }
    const detections = await this.find(frame, time, searchEvery);
    this.faced = detections.length ? time : Math.min(this.faced, time);
    const crops = analyzer.crops(frame, detections);
    const greys = crops.map(greyOf);
    const embeddings = crops.map((crop, i) => appearanceEmbedding(crop, greys[i]));
    const flags = analyzer.qualityFlags(frame, detections, crops, greys);
    const chosen = tracks.due(detections.map(({ box }) => box), embeddings, time);
    const read = await analyzer.read(chosen.map((i) => crops[i]), { mirror: false });
    const faces = detections.map((detection, i) => {
      const predictions = read[chosen.indexOf(i)] ?? null;
      return { detection, embedding: embeddings[i], qualityFlags: flags[i], predictions };
    });
    return tracks.update(faces, time);
  }

  async find(frame, time, searchEvery) {
    const limits = this.thresholds;
    const { detector } = this.analyzer;
    if (time - this.faced > limits.blindAfter) this.view = this.nextView();
    else this.tries = 0;
    const [turn, bright] = this.view;
    let seen = TurnedPicture.of(bright ? brightened(frame) : frame, turn);
    const expected = this.tracks.expected(time).map((box) => seen.boxOf(box));
    const followed = expected.length ? await detector.refine(seen.image, expected) : [];
    let detections = this.distinct(followed.filter((one) => one !== null));
    const lost = detections.length < Math.max(1, followed.length);
    if (time - this.searched >= (lost ? limits.searchLostEvery : searchEvery)) {
      let found = await this.search(seen.image);
      if (this.view !== AS_IT_IS) {
        found = await surely(detector, seen.image, found);
        const upright = found.length ? await this.search(frame) : [];
        // Someone sat up, or switched on the light.
        if (best(upright) > 0 && best(upright) >= best(found)) {
          this.view = AS_IT_IS;
          seen = TurnedPicture.of(frame, 0);
          [detections, found] = [[], upright];
        }
      }
      // Followed ones first: their landmarks come from the sharper picture.
      detections = this.distinct([...detections, ...found]);
      this.searched = time;
    }
    if (seen.degrees) {
      detections = detections.map((one) => faceBack(seen, one)).filter((one) => one !== null);
    }
    return detections.slice(0, Math.trunc(limits.maxFaces));
  }

  search(picture) {
    const { minFaceSize, searchSide } = this.thresholds;
    return this.analyzer.detector.detect(picture, {
      minFaceSize: Math.trunc(minFaceSize),
      maxSide: Math.trunc(searchSide),
    });
  }

  // Every second search is of the frame as it is: there newcomers are.
  nextView() {
    this.tries++;
    return this.tries % 2 ? VIEWS[Math.floor(this.tries / 2) % VIEWS.length] : AS_IT_IS;
  }

  // Without those that cover an earlier one.
  distinct(detections) {
    const kept = [];
    for (const one of detections) {
      if (kept.every((other) => iou(one.box, other.box) < this.thresholds.sameFace)) kept.push(one);
    }
    return kept;
  }
}

function best(faces) {
  return Math.max(0, ...faces.map(({ score }) => score));
}
