// Tasks as data, what a network says of one face in one task, and how its raw outputs become that.

// A task of a network's record, with what the record leaves out: `classes` in the order of the
// head's outputs, `minimum` of a regression, `plural` the key of the probabilities.
export function taskSpec({ name, kind, classes = [], unit = "", minimum = null, plural = "" }) {
  if (!KINDS.has(kind)) throw new Error(`A task is ${[...KINDS].join(", ")}, not ${kind}.`);
  return Object.freeze({ name, kind, classes: Object.freeze([...classes]), unit, minimum, plural });
}

const KINDS = new Set(["regression", "binary", "categorical"]);

// How many numbers its head gives for a face.
export function outputsOf(spec) {
  return spec.kind === "categorical" ? spec.classes.length : 1;
}

// The JSON key of the mapping from class to probability of a categorical task.
export function probabilitiesKey(spec) {
  return spec.plural || `${spec.name}_probabilities`;
}

// Keys that a task has in the record of a face, in their order.
export function jsonKeys(spec) {
  const { name } = spec;
  if (spec.kind === "regression") return [name, `${name}_interval`, `${name}_error`];
  if (spec.kind === "binary") return [name, `${name}_probability`, `${name}_confident`];
  return [name, probabilitiesKey(spec), `${name}_confident`];
}

// CSV columns of the probabilities of a categorical task, in the order of its classes.
export function classColumns(spec) {
  if (spec.kind !== "categorical") return [];
  return spec.classes.map((one) => (spec.plural ? one : `${spec.name}_${one}`));
}

// CSV columns that a task fills, in their order.
export function csvColumns(spec) {
  const { name } = spec;
  if (spec.kind === "regression") return [name, `${name}_low`, `${name}_high`, `${name}_error`];
  if (spec.kind === "binary") return [name, `${name}_probability`, `${name}_confident`];
  return [name, ...classColumns(spec), `${name}_confident`];
}

// Raw outputs of a head for N faces as a value for each: the number as it is, the probability of
// the second class, or the probabilities of all.
export function activate(spec, raw) {
  if (spec.kind === "regression") return Array.from(raw);
  if (spec.kind === "binary") return Array.from(raw, (x) => 0.5 * (1 + Math.tanh(0.5 * x)));
  const count = spec.classes.length;
  return Array.from({ length: raw.length / count }, (_, face) =>
    softmax(Array.from(raw.subarray(face * count, (face + 1) * count))),
  );
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - most));
  const whole = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / whole);
}

// The mean of two or more values of a task, as `activate` gives them.
export function meanOf(values) {
  const [first] = values;
  const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
  return Array.isArray(first) ? first.map((_, i) => mean(values.map((one) => one[i]))) : mean(values);
}

// The prediction that the activated value of one face stands for. Throws where it is no number.
export function decode(spec, value) {
  if (spec.kind === "regression") {
    if (!Number.isFinite(value)) throw new Error(`${spec.name} must be a finite number, not ${value}`);
    const held = spec.minimum === null ? value : Math.max(spec.minimum, value);
    return { spec, value: held, interval: null, error: null };
  }
  const values = spec.kind === "binary" ? [value] : value;
  if (!values.every((p) => p >= 0 && p <= 1)) {
    throw new Error(`probabilities must lie in [0, 1], not ${values.join(", ")}`);
  }
  if (spec.kind === "binary") return { spec, positive: value, confident: null };
  return { spec, probabilities: value, confident: null };
}

// The most probable class: the second of two at one half, the earlier of several on a tie.
export function labelOf({ spec, positive, probabilities }) {
  if (spec.kind === "binary") return spec.classes[positive >= 0.5 ? 1 : 0];
  return spec.classes[probabilities.indexOf(Math.max(...probabilities))];
}

// Of that class.
export function probabilityOf({ spec, positive, probabilities }) {
  return spec.kind === "binary" ? Math.max(positive, 1 - positive) : Math.max(...probabilities);
}
