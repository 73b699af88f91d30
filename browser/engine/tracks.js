// People in a stream: who is seen again, who is new, and what each has settled on.
//
// No network here, only boxes, appearance embeddings and predictions. Times are seconds of any clock
// that only goes forward, so that nothing depends on the rate of frames.

import { DISTRUSTED_FLAGS, greyOf } from "./quality.js";
import { contradicts, settle, SETTLING_RATES, shown, start } from "./settling.js";
import { taskSpec } from "./tasks.js";

const EMBEDDING_SIDE = 16; // pixels of the small grey copy that a face is recognised by
const BRIEFEST = 1e-3; // seconds between two frames, at least: they divide
const TINY = 1e-6;

// What a `FaceTracker` decides by; times are seconds.
const DEFAULTS = {
  ...SETTLING_RATES,
  searchEvery: 0.5, // the whole frame is searched at least so often
  searchLostEvery: 0, // and so often while a face is missing, or nobody is there
  blindAfter: 1, // without a face for so long, frames are searched brightened and turned too
  searchSide: 320, // pixels of the longer side of the copy of a frame that is searched
  minFaceSize: 30, // pixels of that copy
  maxFaces: 24, // of a frame that are followed
  maxPeople: 64, // who are remembered at most; those who were seen last stay
  sameFace: 0.3, // overlap of two boxes of one face
  goneAfter: 1, // a face that was unseen for longer is no longer where it was
  forgottenAfter: 30, // and after this it is someone new when it returns
  movesOn: 0.6, // a face that is hidden is expected to move on for so long
  velocityMemory: 0.15, // over which the speed of a face is averaged
  near: 0.7, // widths that a face may be off the place where it was expected
  alike: 0.72, // correlation of two embeddings of one face; one in 150 pairs of strangers reaches it
  surelyAlike: 0.8, // and one in a thousand this
  embeddingRate: 0.1, // of the newest embedding in what is remembered
  readEvery: 0.05, // between two readings of a face: no answer shows sooner than this
  readInTurn: 4, // frames in which each of many faces is read once: reading is most of the cost
  distrustedWeight: 0.25, // of an answer that there is reason to distrust
  agreeing: 3, // readings that must agree before an answer stands
  changedLook: 0.5, // a face that is less alike to itself at the last reading is someone else
  contradictedFor: 0.6, // someone whose readings contradict what is shown for so long is read anew
};

// All of them, those that are given in place of their defaults. Throws for an unknown name, and for
// a number that is negative or not finite.
export function thresholds(given = {}) {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULTS, name)) throw new TypeError(`There is no threshold ${name}.`);
    if (!(Number.isFinite(value) && value >= 0)) throw new RangeError(`${name} must be a number from 0, not ${value}`);
  }
  return Object.freeze({ ...DEFAULTS, ...given });
}

// How an aligned crop looks, whatever the light: grey, small, zero mean and unit length. `grey` is
// that of the crop.
export function appearanceEmbedding(crop, grey = greyOf(crop)) {
  const step = Math.floor(crop.height / EMBEDDING_SIDE);
  const small = new Float32Array(EMBEDDING_SIDE ** 2);
  let mean = 0;
  for (let i = 0; i < small.length; i++) {
    const first = Math.floor(i / EMBEDDING_SIDE) * step * crop.width + (i % EMBEDDING_SIDE) * step;
    let sum = 0;
    for (let y = 0; y < step; y++) {
      for (let x = 0; x < step; x++) sum += grey[first + y * crop.width + x];
    }
    small[i] = sum / (step * step);
    mean += small[i] / small.length;
  }
  for (let i = 0; i < small.length; i++) small[i] -= mean;
  return unit(small);
}

// An observation is a face of one frame: `{ detection, embedding, qualityFlags, predictions }`.
// Without predictions it was seen but not read: its person's answers stay.
//
// A track is one person: `box`, `velocity` of its centre in pixels a second, when it was `seen` and
// `read`, `embedding` as the memory of many, `look` that of the last reading that fits, settled
// `answers` by the name of the task, `agreed` readings in a row, and whether it is `placed`, its box
// being of the shot that is shown. Its `rival` is what the latest readings say where they do not fit
// the person: `{ since, read, weight, changed, embedding, answers }`.
export class Tracks {
  // The people of one stream, bounded in number and in time. `info` is the network's record.
  constructor(info, limits = thresholds()) {
    this.tasks = info.tasks.map(taskSpec);
    this.calibration = info.calibration ?? {};
    this.thresholds = limits;
    this.people = [];
    this.nextId = 1;
  }

  // Where the faces of the last moments should be now.
  expected(time) {
    return this.people.filter((one) => this.isNear(one, time)).map((one) => this.moved(one, time));
  }

  // Another shot begins: nobody is where they were, and they are known by looks alone.
  cut() {
    this.people = this.people.map((one) => ({ ...one, placed: false }));
  }

  // Which faces of this frame to read: those who are new, and of the known ones those that were read
  // longest ago.
  due(boxes, embeddings, time) {
    const read = new Map();
    for (const [p, face] of this.match(boxes, embeddings, time)) read.set(face, this.people[p].read);
    const chosen = boxes.map((_, i) => i).filter((i) => !read.has(i));
    const waiting = [...read.keys()].filter((i) => time - read.get(i) >= this.thresholds.readEvery);
    const most = Math.ceil(read.size / Math.max(1, this.thresholds.readInTurn));
    chosen.push(...waiting.sort((a, b) => read.get(a) - read.get(b)).slice(0, most));
    return chosen.sort((a, b) => a - b);
  }

  // Take in one frame: each of its faces, in its order, as `{ trackId, face, settled }` with its
  // person's settled answers. Throws for someone new who was not read.
  update(faces, time) {
    const pairs = this.match(faces.map((one) => one.detection.box), faces.map((one) => one.embedding), time);
    const known = new Map();
    for (const [p, face] of pairs) known.set(face, this.people[p]);
    const away = this.people.filter(
      (one, p) => !pairs.has(p) && time - one.seen <= this.thresholds.forgottenAfter,
    );
    const [seen, replaced] = [[], []];
    faces.forEach((face, i) => {
      const track = known.get(i);
      seen.push(track ? this.follow(track, face, time, away) : this.start(face, time));
      if (track && seen[i].trackId !== track.trackId) replaced.push(track);
    });
    // Whom a frame shows goes to the front, so the last are those who were seen longest ago.
    const most = Math.max(seen.length, Math.trunc(this.thresholds.maxPeople));
    this.people = [...seen, ...replaced, ...away].slice(0, most);
    return seen.map((track, i) => this.shown(track, faces[i]));
  }

  // Index of the face of each remembered person who is seen: the closest pairs first.
  match(boxes, embeddings, time) {
    const limits = this.thresholds;
    const candidates = [];
    this.people.forEach((person, p) => {
      if (time - person.seen > limits.forgottenAfter) return;
      const place = this.isNear(person, time) ? this.moved(person, time) : null;
      boxes.forEach((box, f) => {
        const alike = likeness(person.embedding, embeddings[f]);
        const far = place ? distance(place, box) : Infinity;
        if (far <= limits.near) candidates.push([far + (1 - alike), p, f]);
        // Someone who returns, or jumped: by looks alone, after all who are where they should be.
        if (alike >= limits.alike) candidates.push([2 + (1 - alike), p, f]);
      });
    });
    const pairs = new Map();
    const taken = new Set();
    for (const [, p, f] of candidates.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])) {
      if (pairs.has(p) || taken.has(f)) continue;
      pairs.set(p, f);
      taken.add(f);
    }
    return pairs;
  }

  // Whether someone is still to be looked for near the last place.
  isNear(track, time) {
    return track.placed && time - track.seen <= this.thresholds.goneAfter;
  }

  // Its last box, moved on at its last velocity.
  moved({ box: [x1, y1, x2, y2], seen, velocity }, time) {
    const seconds = Math.min(this.thresholds.movesOn, time - seen);
    const [x, y] = [velocity[0] * seconds, velocity[1] * seconds];
    return [x1 + x, y1 + y, x2 + x, y2 + y];
  }

  start(face, time) {
    const { detection, embedding, predictions } = face;
    if (!predictions) throw new Error("someone new must be read");
    return {
      trackId: this.nextId++,
      box: detection.box,
      velocity: [0, 0],
      seen: time,
      read: time,
      embedding,
      answers: this.started(face),
      look: embedding,
      agreed: 1,
      rival: null,
      placed: true,
    };
  }

  // Someone who is seen again, or whoever took the place: one of those who are `away`, who is then
  // away no more, or someone new.
  follow(track, face, time, away) {
    const moved = this.place(track, face, time);
    if (!face.predictions) return moved;
    const limits = this.thresholds;
    const look = face.embedding;
    const rival = this.rival(track, face, time);
    if (rival && rival.weight >= limits.agreeing) {
      if (rival.changed) return this.replaced(face, rival, time, away);
      if (time - rival.since >= limits.contradictedFor) {
        return { ...moved, read: time, answers: rival.answers, look };
      }
    }
    return {
      ...moved,
      read: time,
      answers: this.settled(track.answers, track.read, face, time),
      look: rival?.changed ? track.look : look,
      agreed: rival ? track.agreed : track.agreed + 1,
      rival,
    };
  }

  started(face) {
    const weight = this.weight(face);
    return mapped(face.predictions, (one) => start(one, weight));
  }

  settled(answers, read, face, time) {
    const [seconds, weight] = [Math.max(BRIEFEST, time - read), this.weight(face)];
    return mapped(face.predictions, (one, name) =>
      settle(answers[name], one, seconds, weight, this.thresholds),
    );
  }

  // The other one whom this reading, and those before it, speak for; null where it fits.
  rival(track, face, time) {
    const { rival } = track;
    const [limit, newest] = [this.thresholds.changedLook, face.embedding];
    // Someone who turns away slowly is unlike the memory, but like a moment ago.
    const alike = Math.max(likeness(track.embedding, newest), likeness(track.look, newest));
    const changed = alike < limit;
    if (!changed && !this.contradicted(track.answers, face.predictions)) return null;
    const weight = this.weight(face);
    if (
      !rival ||
      rival.changed !== changed ||
      (changed && likeness(rival.embedding, newest) < limit) ||
      this.contradicted(rival.answers, face.predictions)
    ) {
      const answers = this.started(face);
      return { since: time, read: time, weight, changed, embedding: newest, answers };
    }
    const answers = this.settled(rival.answers, rival.read, face, time);
    return { ...rival, read: time, weight: rival.weight + weight, answers };
  }

  contradicted(answers, predictions) {
    return Object.entries(predictions).some(([name, one]) => contradicts(answers[name], one, this.thresholds));
  }

  // Whoever is in the place of the one who was followed.
  replaced(face, rival, time, away) {
    const alike = away.map((one) => likeness(one.embedding, face.embedding));
    const best = Math.max(...alike); // minus infinity where nobody is away
    if (best >= this.thresholds.alike) {
      const [known] = away.splice(alike.indexOf(best), 1);
      return { ...this.place(known, face, time), read: time, look: face.embedding, rival: null };
    }
    const agreed = Math.ceil(this.thresholds.agreeing);
    return { ...this.start(face, time), answers: rival.answers, agreed };
  }

  // Where and how someone is seen now.
  place(track, face, time) {
    const { box } = face.detection;
    const newest = face.embedding;
    // A half hidden face must not become the memory of this one, nor does its box tell where the
    // whole one goes.
    const certain = likeness(track.embedding, newest) >= this.thresholds.surelyAlike;
    const velocity = this.velocity(track, box, time, certain);
    const share = certain ? this.thresholds.embeddingRate : 0;
    const { fround } = Math;
    const [kept, added] = [fround(1 - share), fround(share)];
    const mixed = new Float32Array(newest.length);
    for (let i = 0; i < mixed.length; i++) mixed[i] = fround(kept * track.embedding[i]) + fround(added * newest[i]);
    return { ...track, box, velocity, seen: time, embedding: unit(mixed), placed: true };
  }

  // Of someone who is seen now, averaged over a moment.
  velocity(track, box, time, certain) {
    if (!this.isNear(track, time)) return [0, 0];
    if (!certain) return track.velocity;
    const seconds = Math.max(BRIEFEST, time - track.seen);
    const share = 1 - Math.exp(-seconds / Math.max(TINY, this.thresholds.velocityMemory));
    const [before, after] = [centre(track.box), centre(box)];
    return track.velocity.map((v, i) => v + share * ((after[i] - before[i]) / seconds - v));
  }

  shown(track, { detection, qualityFlags }) {
    const predictions = Object.fromEntries(
      this.tasks.map((spec) => [spec.name, shown(track.answers[spec.name], spec, this.calibration[spec.name])]),
    );
    const doubted = track.rival?.changed ?? false;
    return {
      trackId: track.trackId,
      face: { detection, predictions, qualityFlags },
      settled: track.agreed >= this.thresholds.agreeing && !doubted,
    };
  }

  weight({ qualityFlags }) {
    return qualityFlags.some((one) => DISTRUSTED_FLAGS.has(one)) ? this.thresholds.distrustedWeight : 1;
  }
}

function mapped(entries, change) {
  return Object.fromEntries(Object.entries(entries).map(([name, one]) => [name, change(one, name)]));
}

// Correlation of two embeddings.
function likeness(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return Math.fround(sum);
}

// Scales in place to unit length.
function unit(values) {
  const length = Math.max(TINY, Math.sqrt(likeness(values, values)));
  for (let i = 0; i < values.length; i++) values[i] /= length;
  return values;
}

// Between centres and between sizes of two boxes, in widths; 0 for the same box.
function distance(a, b) {
  const [[ax, ay], [bx, by]] = [centre(a), centre(b)];
  const width = Math.max(TINY, (a[2] - a[0] + b[2] - b[0]) / 2);
  const size = Math.abs(Math.log(Math.max(TINY, b[2] - b[0]) / Math.max(TINY, a[2] - a[0])));
  return Math.hypot(ax - bx, ay - by) / width + size / 2;
}

function centre([x1, y1, x2, y2]) {
  return [(x1 + x2) / 2, (y1 + y2) / 2];
}
