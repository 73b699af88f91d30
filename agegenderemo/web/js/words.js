// What is said of a face, in words. A task is described as `tasks_attribute` of assets.py gives it,
// a face as the server sends it.

const STICKS = 0.7; // steps of its last decimal that a number moves before another one is shown

// Advice by quality flag.
const HINTS = {
  small: "Move closer.",
  blurred: "Hold still, or wipe the lens.",
  dark: "More light would help.",
  turned: "Look at the camera.",
  "cut off": "Move into the picture.",
  "perhaps no face": "This may be no face.",
};

// A number with so many digits as Python writes it: of two as near the even one.
export function fixed(value, digits) {
  const low = Math.floor(value * 10 ** digits);
  // Halfway lie only odd multiples of a power of one half.
  const halfway = (Math.abs(value) * 2 ** (digits + 1)) % 2 === 1;
  return (halfway ? (low + (low & 1)) / 10 ** digits : value).toFixed(digits);
}

// Number and sign stay on one line.
export const percent = (value) => fixed(100 * value, 0) + "\u00a0%";

export const hints = (face) => face.quality_flags.map((flag) => HINTS[flag]).join(" ");

export const categorical = (tasks) => tasks.filter(({ kind }) => kind === "categorical");

// The number to show for a value, given the one that is shown now, if any: digits must not flicker.
export function settled(task, value, shown) {
  const step = 10 ** -task.digits;
  return Math.abs(value - shown) <= STICKS * step ? shown : Math.round(value / step) * step;
}

// The answer alone, after "probably" where it is not more than a guess. Networks that are not
// calibrated do not say (null).
function answer(task, face, numbers) {
  if (task.kind === "regression") return fixed(numbers[task.name], task.digits);
  return (face[task.name + "_confident"] === false ? "probably " : "") + face[task.name];
}

// What goes behind it: the unit, or the probability.
function detail(task, face) {
  if (task.kind === "regression") return task.unit;
  return task.kind === "binary" ? percent(face[task.name + "_probability"]) : "";
}

// Said in place of answers until enough readings of a face agree.
const READING = "reading…";

const named = (task, words) => (task.alone ? words : task.title + ": " + words);

const leading = (tasks) => tasks.find(({ kind }) => kind === "regression") ?? tasks[0];

// The first number of a network, or else its first answer, for those who want one word.
export function leadWords(tasks, face, numbers) {
  if (face.settled === false) return READING;
  const lead = leading(tasks);
  return named(lead, answer(lead, face, numbers));
}

// The other answers; `whole` adds units and probabilities, that of the leading one first.
export function otherWords(tasks, face, numbers, whole) {
  if (face.settled === false) return "";
  const lead = leading(tasks);
  const others = tasks
    .filter((task) => task !== lead)
    .map((task) => {
      const words = [answer(task, face, numbers), whole && detail(task, face)];
      return named(task, words.filter(Boolean).join(" "));
    });
  if (!whole) return others.map((words) => "· " + words).join(" ");
  return [detail(lead, face), ...others].filter(Boolean).join(" · ");
}

// All answers in the network's order, as on a label.
export const labelWords = (tasks, face, numbers) =>
  face.settled === false
    ? READING
    : tasks.map((task) => named(task, answer(task, face, numbers))).join(" · ");

// Between which values the true ones probably lie: of four such faces in five they do.
export function rangeWords(tasks, face) {
  if (face.settled === false) return "";
  const ranges = tasks
    .filter(({ name }) => face[name + "_interval"])
    .map((task) => {
      const number = (value) => fixed(value, task.digits);
      const ends = face[task.name + "_interval"].map(number).join(" to ");
      return named(task, ["probably", ends, task.unit].filter(Boolean).join(" "));
    });
  return ranges.join("; ");
}

// The colours of a face: of its class in the first categorical task, else in the first binary one.
export function colorsOf(tasks, plain, face) {
  const task = categorical(tasks)[0] ?? tasks.find(({ kind }) => kind === "binary");
  return task?.classes.find(({ name }) => name === face[task.name]) ?? plain;
}

const TOLD = 3; // faces of a crowd that are told of

// Labels as one sentence, to be read out.
export function spoken(labels) {
  const count = labels.length === 1 ? "1 face" : labels.length + " faces";
  const told = labels.slice(0, TOLD).map((label) => label.replaceAll(" · ", ", "));
  const more = labels.length > TOLD ? "; and " + (labels.length - TOLD) + " more" : "";
  return count + ": " + told.join("; ") + more + ".";
}
