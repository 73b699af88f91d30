// Results as JSON and table rows: the one shape that the package gives out everywhere, to the
// character as Python writes it.

import { roll } from "./geometry.js";
import { classColumns, csvColumns, jsonKeys, labelOf, probabilitiesKey, probabilityOf } from "./tasks.js";

const SCHEMA_VERSION = 2;
const BEFORE = ["file", "face", "x1", "y1", "x2", "y2", "score"];
const AFTER = ["quality_flags", "error"];
const NETWORK_COLUMNS = ["model", "precision", "weights_sha256"];
const FORMULAS = ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"];

// --- records ----------------------------------------------------------------------------------

// A face as plain JSON types.
export function faceRecord({ detection, predictions, qualityFlags }) {
  const { box, score, landmarks } = detection;
  const record = {
    box: box.map((v) => rounded(v, 2)),
    score: rounded(score, 4),
    landmarks: landmarks.map((point) => point.map((v) => rounded(v, 2))),
    roll: rounded(roll(landmarks), 1),
  };
  for (const prediction of Object.values(predictions)) Object.assign(record, answerRecord(prediction));
  record.quality_flags = [...qualityFlags];
  return record;
}

// A face of a stream, with the number of its person.
export function trackedRecord({ trackId, face, settled }) {
  return { track_id: trackId, settled, ...faceRecord(face) };
}

function answerRecord(prediction) {
  const { spec, value, interval, error, confident } = prediction;
  const [first, second, third] = jsonKeys(spec);
  if (spec.kind === "regression") {
    return {
      [first]: rounded(value, 2),
      [second]: interval && interval.map((v) => rounded(v, 1)),
      [third]: error === null ? null : rounded(error, 1),
    };
  }
  const more =
    spec.kind === "binary"
      ? rounded(probabilityOf(prediction), 4)
      : Object.fromEntries(spec.classes.map((name, i) => [name, rounded(prediction.probabilities[i], 6)]));
  return { [first]: labelOf(prediction), [second]: more, [third]: confident };
}

// A face of a picture that was read smaller or larger, in pixels of the original.
export function scaledFace(face, across, down) {
  const { box, landmarks } = face.detection;
  const [x1, y1, x2, y2] = box;
  const detection = {
    ...face.detection,
    box: [x1 * across, y1 * down, x2 * across, y2 * down],
    landmarks: landmarks.map(([x, y]) => [x * across, y * down]),
  };
  return { ...face, detection };
}

// One analysed picture of a width and height as plain JSON types; `search` is how it was searched in
// the end, `network` what gave the answers: its model, precision and weights_sha256.
export function pictureRecord({ file, width, height, search, faces, network = null }) {
  return {
    schema_version: SCHEMA_VERSION,
    file: plainName(file),
    width,
    height,
    search,
    faces: faces.map(faceRecord),
    ...(network ? { network } : {}),
  };
}

// A picture that could not be read.
export function errorRecord(file, error) {
  return { schema_version: SCHEMA_VERSION, file: plainName(file), error: plainName(String(error)) };
}

// A name that every program can write: lone surrogates stand as their escapes.
function plainName(name) {
  return name.replace(/\p{Cs}/gu, (one) => `\\u${one.charCodeAt(0).toString(16)}`);
}

// --- JSON -------------------------------------------------------------------------------------

// Records, one or several, as indented JSON. Numbers of a face are written as Python writes floats,
// all others are whole; `tasks` give their classes their order.
export function jsonText(records, tasks) {
  const orders = new Map(tasks.map((spec) => [probabilitiesKey(spec), spec.classes]));
  const written = (value, indent, float, key) => {
    if (typeof value === "number") return float ? floatText(value) : String(value);
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    const inner = `${indent}  `;
    const list = Array.isArray(value);
    const keys = list ? [...value.keys()] : (float && orders.get(key)) || Object.keys(value);
    const lines = keys.map((one) => {
      const text = written(value[one], inner, float || one === "faces", one);
      return `${inner}${list ? "" : `${JSON.stringify(one)}: `}${text}`;
    });
    const [opened, closed] = list ? "[]" : "{}";
    return lines.length ? `${opened}\n${lines.join(",\n")}\n${indent}${closed}` : opened + closed;
  };
  return written(records, "", false, "");
}

// --- CSV --------------------------------------------------------------------------------------

// The columns of a CSV row for a network with these tasks, in their order.
export function csvFields(tasks) {
  return [...BEFORE, ...tasks.flatMap(csvColumns), ...AFTER, ...NETWORK_COLUMNS];
}

// Rows of one record by `csvFields`, their cells text: a row a face, one for no face, one for an
// error.
export function csvRows(record, tasks) {
  const file = noFormula(visible(record.file));
  const network = record.network ?? {};
  if (!record.faces?.length) return [{ file, error: noFormula(record.error ?? ""), ...network }];
  return record.faces.map((face, i) => {
    const row = { file, face: String(i + 1), score: floatText(face.score) };
    ["x1", "y1", "x2", "y2"].forEach((side, at) => (row[side] = floatText(face.box[at])));
    for (const spec of tasks) Object.assign(row, taskCells(face, spec));
    return { ...row, quality_flags: face.quality_flags.join("; "), ...network };
  });
}

function taskCells(face, spec) {
  const keys = new Set(jsonKeys(spec));
  const cells = Object.fromEntries(
    csvColumns(spec).filter((key) => keys.has(key)).map((key) => [key, cellText(face[key])]),
  );
  const interval = spec.kind === "regression" && face[`${spec.name}_interval`];
  if (interval) [cells[`${spec.name}_low`], cells[`${spec.name}_high`]] = interval.map(floatText);
  const columns = classColumns(spec);
  columns.forEach((column, i) => (cells[column] = floatText(face[probabilitiesKey(spec)][spec.classes[i]])));
  return cells;
}

function cellText(value) {
  if (typeof value === "number") return floatText(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  return value ?? "";
}

// A CSV line a face below a line of names; a picture without faces, or with an error, has one line
// too.
export function csvText(records, tasks) {
  const fields = csvFields(tasks);
  const rows = records.flatMap((record) => csvRows(record, tasks));
  const lines = [fields, ...rows.map((row) => fields.map((field) => row[field] ?? ""))];
  return lines.map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

// Text without what does not show: control and format characters, lone surrogates, ends of lines.
function visible(text) {
  return text.replace(/\p{C}/gu, "");
}

// A file name that a spreadsheet does not take for a formula.
function noFormula(name) {
  return FORMULAS.some((sign) => name.startsWith(sign)) ? `'${name}` : name;
}

// --- numbers ----------------------------------------------------------------------------------

// As Python's round(value, digits): the nearest decimal, of two as near the even one.
export function rounded(value, digits) {
  if (value === 0 || !Number.isFinite(value)) return value;
  // Halfway between two decimals lie only odd multiples of a power of one half.
  const halves = Math.abs(value) * 2 ** (digits + 1);
  if (halves % 2 !== 1) return Number(value.toFixed(digits));
  const below = (BigInt(halves) * 5n ** BigInt(digits) - 1n) / 2n;
  return Math.sign(value) * Number(`${below + (below % 2n)}e-${digits}`);
}

// As Python's repr of a float.
export function floatText(value) {
  if (Object.is(value, -0)) return "-0.0";
  if (value === 0) return "0.0";
  const [mantissa, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power >= 16) return `${mantissa}e+${power}`;
  if (power < -4) return `${mantissa}e-${String(-power).padStart(2, "0")}`;
  const text = String(value);
  return text.includes(".") ? text : `${text}.0`;
}
