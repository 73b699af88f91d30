// Answers for one person that settle over the frames of a video, by the kind of the task.
//
// Times are seconds, weights lie in [0, 1]: a prediction that there is reason to distrust weighs
// less. Everything goes by time, so that nothing depends on the rate of frames. A settled answer is
// `{ value, weight }`, `{ logit, second }` or `{ probabilities }`.

import { judge } from "./calibration.js";
import { decode } from "./tasks.js";

const JUST_NOT = 0.4999; // shown for the first class where the mean has passed one half
const SURE = 0.99; // a probability counts as no more: one frame must not outweigh all others
const SURE_SIDE = 0.85; // two answers of a binary task contradict each other when both are so sure

// How fast answers move: a regression is averaged over `regressionMemory` seconds, and one answer
// pulls it by no more than `regressionOutlier`; the logit of a binary task over `binaryMemory`, and
// the class that is shown changes `binaryMargin` past one half; probabilities of classes over
// `calmMemory` while they change by less than `smallChange`, over `quickMemory` from `largeChange`.
export const SETTLING_RATES = {
  regressionMemory: 4,
  regressionOutlier: 8,
  binaryMemory: 1,
  binaryMargin: 0.1,
  calmMemory: 0.5,
  quickMemory: 0.06,
  smallChange: 0.15,
  largeChange: 0.45,
};

const number = {
  start: ({ value }, weight) => ({ value, weight }),
  toward(settled, { value }, seconds, weight, rates) {
    const total = settled.weight * Math.exp(-seconds / rates.regressionMemory) + weight;
    const limit = rates.regressionOutlier;
    const pull = Math.max(-limit, Math.min(limit, value - settled.value));
    return { value: settled.value + (weight / total) * pull, weight: total };
  },
  shown: ({ value }) => value,
  contradicts: (settled, { value }, rates) => Math.abs(value - settled.value) > rates.regressionOutlier,
};

const twoClasses = {
  start({ positive }) {
    const logit = logitOf(positive);
    return { logit, second: logit >= 0 };
  },
  toward(settled, { positive }, seconds, weight, rates) {
    const step = weight * (1 - Math.exp(-seconds / rates.binaryMemory));
    const logit = settled.logit + step * (logitOf(positive) - settled.logit);
    const margin = logitOf(0.5 + rates.binaryMargin);
    return { logit, second: logit > (settled.second ? -margin : margin) };
  },
  shown({ logit, second }) {
    const probability = 1 / (1 + Math.exp(-logit));
    // Within the margin the class that was shown stays, at one half.
    return second ? Math.max(0.5, probability) : Math.min(JUST_NOT, probability);
  },
  contradicts(settled, { positive }) {
    const logit = logitOf(positive);
    const least = Math.min(Math.abs(settled.logit), Math.abs(logit));
    return settled.logit * logit < 0 && least >= logitOf(SURE_SIDE);
  },
};

// They follow large changes at once, because an expression is new and not an error; for the same
// reason nothing contradicts them, and they show however a face is seen.
const classes = {
  start: ({ probabilities }) => ({ probabilities }),
  toward(settled, { probabilities }, seconds, weight, rates) {
    const before = settled.probabilities;
    const change = before.reduce((sum, p, i) => sum + Math.abs(probabilities[i] - p), 0) / 2;
    const quickness = (change - rates.smallChange) / (rates.largeChange - rates.smallChange);
    const faster = (rates.quickMemory - rates.calmMemory) * Math.max(0, Math.min(1, quickness));
    const step = 1 - Math.exp(-seconds / (rates.calmMemory + faster));
    return { probabilities: before.map((p, i) => p + step * (probabilities[i] - p)) };
  },
  shown({ probabilities }) {
    const total = probabilities.reduce((sum, p) => sum + p, 0);
    return probabilities.map((p) => p / total);
  },
  contradicts: () => false,
};

const KINDS = { regression: number, binary: twoClasses, categorical: classes };

// What is known after one prediction.
export function start(first, weight) {
  return KINDS[first.spec.kind].start(first, weight);
}

// What is known after one more prediction, `seconds` after the last.
export function settle(settled, prediction, seconds, weight, rates) {
  return KINDS[prediction.spec.kind].toward(settled, prediction, seconds, weight, rates);
}

// Whether a prediction can hardly be of the face that the settled answer is of.
export function contradicts(settled, prediction, rates) {
  return KINDS[prediction.spec.kind].contradicts(settled, prediction, rates);
}

// The settled answer as a prediction, with what the calibration says of it; temperatures are in the
// predictions already.
export function shown(settled, spec, calibration) {
  return judge(decode(spec, KINDS[spec.kind].shown(settled)), calibration);
}

function logitOf(probability) {
  const p = Math.min(SURE, Math.max(1 - SURE, probability));
  return Math.log(p / (1 - p));
}
