// The page's modules without a page; `node --test tests/js` runs them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { frameSize } from "../../agegenderemo/web/js/camera.js";
import { Line, untilNext } from "../../agegenderemo/web/js/line.js";
import { csvOf } from "../../agegenderemo/web/js/record.js";
import { Pasts } from "../../agegenderemo/web/js/ribbon.js";
import { Arrivals } from "../../agegenderemo/web/js/said.js";
import { boxAt, freePlace, onStage } from "../../agegenderemo/web/js/stage.js";
import {
  colorsOf,
  fixed,
  hints,
  labelWords,
  leadWords,
  otherWords,
  percent,
  rangeWords,
  settled,
  spoken,
} from "../../agegenderemo/web/js/words.js";

const age = { name: "age", kind: "regression", unit: "years", title: "Age", alone: true, digits: 0 };
const gender = {
  name: "gender",
  kind: "binary",
  unit: "",
  title: "Gender",
  alone: true,
  classes: [{ name: "female" }, { name: "male" }],
};
const emotion = {
  name: "emotion",
  kind: "categorical",
  title: "Emotion",
  alone: true,
  probabilities: "emotions",
  classes: [
    { name: "calm, or not", color: "#111" },
    { name: "joy", color: "#222" },
  ],
};
const tasks = [age, gender, emotion];
const face = {
  track_id: 3,
  settled: true,
  age: 27.4,
  age_interval: [23, 34],
  gender: "female",
  gender_probability: 0.93,
  gender_confident: true,
  emotion: "joy",
  emotion_confident: false,
  emotions: { "calm, or not": 0.4, joy: 0.6 },
  quality_flags: ["dark"],
};
const numbers = { age: 27 };

test("a face in words, one way everywhere", () => {
  assert.equal(leadWords(tasks, face, numbers), "27");
  assert.equal(labelWords(tasks, face, numbers), "27 · female · probably joy");
  assert.equal(otherWords(tasks, face, numbers, true), "years · female 93\u00a0% · probably joy");
  assert.equal(rangeWords(tasks, face), "probably 23 to 34 years");
  assert.equal(hints(face), "More light would help.");
  assert.equal(percent(0.006), "1\u00a0%");
  const early = { ...face, settled: false };
  assert.equal(labelWords(tasks, early, numbers), "reading…");
  assert.equal(rangeWords(tasks, early), "");
});

test("numbers are written as Python writes them, halves to the even digit", () => {
  const expected = { 46.5: "46", 47.5: "48", 0.5: "0", 46.49: "46", 46.51: "47", 1.5: "2", 31: "31" };
  for (const [value, text] of Object.entries(expected)) assert.equal(fixed(Number(value), 0), text);
  assert.deepEqual([0.25, 0.75, 0.35, 0.45].map((value) => fixed(value, 1)), ["0.2", "0.8", "0.3", "0.5"]);
  assert.equal(fixed(-2.5, 0), "-2");
  assert.equal(percent(0.125), "12\u00a0%");
});

test("a network without some tasks has no words for them", () => {
  assert.equal(labelWords([gender], face, {}), "female");
  assert.equal(rangeWords([gender], face), "");
  assert.deepEqual(colorsOf([age], { color: "grey" }, face), { color: "grey" });
  assert.equal(colorsOf(tasks, {}, face).color, "#222");
});

test("digits do not flicker", () => {
  assert.equal(settled(age, 27.4, undefined), 27);
  assert.equal(settled(age, 27.6, 27), 27);
  assert.equal(settled(age, 27.8, 27), 28);
});

test("boxes are mirrored, words are not", () => {
  assert.deepEqual(onStage([10, 20, 30, 50], 100, true), [70, 20, 90, 50]);
  assert.deepEqual(onStage([10, 20, 30, 50], 100, false), [10, 20, 30, 50]);
});

test("a label takes the first place that covers no face and lies on the stage", () => {
  const faces = [[40, 40, 60, 60]];
  const places = [
    [40, -10, 80, 0],
    [50, 50, 90, 70],
    [40, 60, 80, 70],
  ];
  assert.deepEqual(freePlace(places, faces, 100, 100), places[2]);
  assert.equal(freePlace(places.slice(0, 2), faces, 100, 100), undefined);
});

test("a point means the smallest face that holds it, or else the nearest within reach", () => {
  const boxes = [[0, 0, 100, 100], [40, 40, 60, 60], [180, 80, 190, 90]];
  assert.deepEqual([boxAt(boxes, 50, 50), boxAt(boxes, 10, 10)], [1, 0]);
  assert.equal(boxAt(boxes, 170, 85), -1);
  assert.deepEqual([boxAt(boxes, 170, 85, 16), boxAt(boxes, 104, 50, 16)], [2, 0]);
});

test("people are told of once they stay, not at every frame", () => {
  const [one, two] = [{ track_id: 1 }, { track_id: 2 }];
  const arrivals = new Arrivals();
  const told = (faces, from, to) => {
    const times = [];
    for (let now = from; now < to; now += 100) if (arrivals.news(faces, now)) times.push(now);
    return times;
  };
  assert.deepEqual(told([], 0, 3000), []);
  assert.deepEqual(told([one], 3000, 9000), [4000]);
  assert.deepEqual(told([one, two], 9000, 9500), []); // who passes is not told of
  assert.deepEqual(told([one], 9500, 12000), []);
  assert.deepEqual(told([two, one], 12000, 20000), [13000]);
  assert.deepEqual(told([one, two], 20000, 22000), []);
  assert.deepEqual(told([two], 22000, 24000), [23000]);
  assert.deepEqual(told([], 24000, 26000), []);
  assert.deepEqual(told([two], 26000, 28000), [27000]);
});

test("labels as a sentence", () => {
  assert.equal(spoken(["27 · female"]), "1 face: 27, female.");
  assert.equal(spoken(["1", "2", "3", "4 · x"]), "4 faces: 1; 2; 3; and 1 more.");
});

test("a slow line gets smaller frames, a quick one larger ones", () => {
  assert.deepEqual([frameSize(0, 900), frameSize(2, 900)], [1, 2]);
  assert.deepEqual([frameSize(1, 400), frameSize(1, 100), frameSize(0, 100)], [1, 0, 0]);
});

test("when the next frame is sent", () => {
  assert.equal(untilNext([], 0, 1000), 0);
  assert.equal(untilNext([980], 100, 1000), 30); // half a round trip after the first
  assert.ok(untilNext([900], 100, 1000) <= 0);
  assert.equal(untilNext([900, 950], 100, 1000), Infinity);
  assert.equal(untilNext([0], 400, 1000), Infinity); // slow
  assert.equal(untilNext([0], 0, 1000), Infinity); // not known yet
});

test("on this device one frame is under way at a time", async () => {
  for (const [pair, wanted] of [[true, 2], [false, 1]]) {
    const line = new Line(pair);
    line.roundTrip = 20;
    const sent = [];
    const asked = () => new Promise((done) => sent.push(done));
    for (const _ of [1, 2]) {
      line.arrived();
      const turn = line.turn().then(() => true);
      const late = new Promise((done) => setTimeout(() => done(false), 60));
      if (await Promise.race([turn, late])) line.send(asked);
    }
    assert.equal(sent.length, wanted);
    sent.forEach((done) => done({}));
  }
});

test("a second frame that the server is too busy for", async () => {
  const line = new Line();
  line.arrived();
  await line.turn();
  let answer;
  const first = line.send(() => new Promise((done) => (answer = done)));
  const [reply] = await line.send(async () => ({ error: "busy", busy: true }));
  assert.equal(reply, null);
  answer({ faces: [] });
  assert.deepEqual((await first)[0], { faces: [] });
  assert.ok(line.roundTrip > 0);
  const [alone] = await line.send(async () => ({ error: "busy", busy: true }));
  assert.equal(alone.error, "busy"); // the only one: said
  assert.equal((await line.send(() => Promise.reject(new Error("gone"))))[0], undefined);
});

test("a recording as a table", () => {
  const moments = [
    { seconds: 0.5, faces: [face] },
    { seconds: 0.6, faces: [] },
    { seconds: 0.7, faces: [{ ...face, track_id: 4, age_interval: null, gender: 'a "b", c' }] },
  ];
  assert.deepEqual(csvOf(moments, tasks).split("\n"), [
    'seconds,track_id,age,age_low,age_high,gender,gender_probability,emotion,"emotion_calm, or not",emotion_joy',
    "0.5,3,27.4,23,34,female,0.93,joy,0.4,0.6",
    '0.7,4,27.4,,,"a ""b"", c",0.93,joy,0.4,0.6',
    "",
  ]);
});

test("the ribbon remembers thirty seconds, a column every quarter", () => {
  const pasts = new Pasts(emotion);
  assert.equal(pasts.remember([face], 0), true);
  assert.equal(pasts.remember([face], 100), false);
  for (let now = 250; now <= 40000; now += 250) pasts.remember([face], now);
  const past = pasts.byFace.get(3);
  assert.equal(past[0].time, 10000);
  assert.equal(past.at(-1).time, 40000);
  pasts.remember([{ ...face, track_id: 5 }], 80000);
  assert.deepEqual([...pasts.byFace.keys()], [5]);
});
