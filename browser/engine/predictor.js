// From aligned crops to what the network says of them.

import { predict } from "./calibration.js";
import { resizeBilinear } from "./resize.js";
import { activate, meanOf, outputsOf, taskSpec } from "./tasks.js";

const { fround } = Math;

export class Predictor {
  // `network` is { outputs, run(data, dims) }, `info` the network's own record.
  constructor(network, info) {
    this.network = network;
    this.info = info;
    this.tasks = info.tasks.map(taskSpec);
    this.calibration = info.calibration ?? {};
    const missing = this.tasks.filter(({ name }) => !network.outputs.includes(name));
    if (missing.length || network.outputs.length !== this.tasks.length) {
      const names = this.tasks.map(({ name }) => name).join(", ");
      throw new Error(`The graph answers ${network.outputs.join(", ")}, but its tasks are ${names}.`);
    }
  }

  // What each of the aligned faces looks like, by the name of the task; empty in, empty out. With
  // `mirror` the answer is the mean over the face and its mirror image: steadier, and twice the work.
  async predict(crops, { mirror = true } = {}) {
    if (!crops.length) return [];
    const { size } = this.info.input;
    const faces = preprocess(crops, this.info.input);
    const views = [await this.values(faces, size)];
    if (mirror) views.push(await this.values(mirrored(faces, size), size));
    return crops.map((_, face) => this.predictions(views, face));
  }

  // Activated outputs of normalised faces by the name of the task: averaged as they are shown, not
  // as logits.
  async values(faces, size) {
    const count = faces.length / (3 * size * size);
    const raw = await this.network.run(faces, [count, 3, size, size]);
    const found = this.tasks.map((spec) => {
      const { data } = raw[this.network.outputs.indexOf(spec.name)];
      if (data.length !== count * outputsOf(spec)) throw new Error(`The graph answers ${data.length} numbers of ${spec.name}.`);
      return [spec.name, activate(spec, data)];
    });
    return Object.fromEntries(found);
  }

  predictions(views, face) {
    const found = this.tasks.map((spec) => {
      const value = meanOf(views.map((view) => view[spec.name][face]));
      return [spec.name, predict(spec, value, this.calibration[spec.name])];
    });
    return Object.fromEntries(found);
  }
}

// Square RGB crops as N×3×size×size normalised float32.
export function preprocess(crops, { size, mean, std }) {
  const side = crops[0].width;
  const pixels = side * side;
  const planes = new Float32Array(3 * pixels * crops.length);
  crops.forEach(({ data }, face) => {
    for (let channel = 0; channel < 3; channel++) {
      const start = (3 * face + channel) * pixels;
      for (let i = 0, at = channel; i < pixels; i++, at += 3) planes[start + i] = data[at] / 255;
    }
  });
  const faces = resizeBilinear(planes, 3 * crops.length, side, side, size);
  const result = new Float32Array(faces.length);
  for (let start = 0, plane = 0; start < faces.length; start += size * size, plane++) {
    const [middle, deviation] = [fround(mean[plane % 3]), fround(std[plane % 3])];
    for (let i = start; i < start + size * size; i++) result[i] = fround(faces[i] - middle) / deviation;
  }
  return result;
}

// Each line of planes of so many columns, from its end to its beginning.
function mirrored(planes, size) {
  const flipped = new Float32Array(planes.length);
  for (let line = 0; line < planes.length; line += size) {
    for (let i = 0; i < size; i++) flipped[line + size - 1 - i] = planes[line + i];
  }
  return flipped;
}
