// What Python answered (tests/browser_vectors_reader.py), as node reads it.

import { readFileSync } from "node:fs";
import { join } from "node:path";

// The folder that the tests write, as their environment names it.
export const FOLDER = process.env.AGEGENDEREMO_VECTORS;

export function vectors(name) {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8"));
}

export function bytes(text) {
  return new Uint8Array(Buffer.from(text, "base64"));
}

export function floats(text) {
  const { buffer } = bytes(text);
  return new Float32Array(buffer);
}

export function picture({ width, height, data }) {
  return { width, height, data: bytes(data) };
}

// A face of plain numbers with its tasks.
export function faceOf({ detection, predictions, flags }, tasks) {
  return { detection, predictions: predictionsOf(predictions, tasks), qualityFlags: flags };
}

export function predictionsOf(predictions, tasks) {
  return Object.fromEntries(tasks.map((spec) => [spec.name, { spec, ...predictions[spec.name] }]));
}

// The largest difference between numbers anywhere in two values that are otherwise alike; throws
// where they are not.
export function furthest(got, wanted, where = "") {
  if (typeof wanted === "number" && typeof got === "number") {
    return Object.is(got, wanted) ? 0 : Math.abs(got - wanted);
  }
  if (wanted === null || typeof wanted !== "object") {
    if (got !== wanted) throw new Error(`${where}: ${JSON.stringify(got)} is not ${JSON.stringify(wanted)}`);
    return 0;
  }
  const keys = Object.keys(wanted);
  const others = Object.keys(got ?? {});
  if (others.length !== keys.length) throw new Error(`${where} has ${others}, not ${keys}`);
  return keys.reduce((most, key) => {
    const far = furthest(got[key], wanted[key], `${where}.${key}`);
    return Number.isNaN(far) || far > most ? far : most;
  }, 0);
}
