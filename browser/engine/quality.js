// Reasons to distrust a prediction, from how a face was seen: size, sharpness, light, pose, frame.

import { squareCorners } from "./geometry.js";
import { resizeBilinear } from "./resize.js";

const SIDE = 64; // pixels at which sharpness and light are measured
const LUMA = [0.299, 0.587, 0.114].map(Math.fround);

// For each flag, in their order, that is seen in the picture the part of the quality, the limit, and whether more
// than it is worse.
export const LIMITS = {
  small: ["size", 30, false],
  blurred: ["sharpness", 0.1, false],
  dark: ["brightness", 0.12, false],
  turned: ["yaw", 0.3, true],
  "cut off": ["outOfFrame", 0.4, true],
};

// Flags with which the error was measured to rise; a tracker trusts such a look less.
export const DISTRUSTED_FLAGS = new Set(["small", "blurred", "dark"]);

// Grey of each pixel of an aligned crop, float32 from 0 to 255.
export function greyOf({ data }) {
  const { fround } = Math;
  const grey = new Float32Array(data.length / 3);
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    grey[i] = fround(fround(data[at] * LUMA[0]) + fround(data[at + 1] * LUMA[1])) + data[at + 2] * LUMA[2];
  }
  return grey;
}

// How well a face was seen, of its aligned crop and the landmarks in pixels of its picture of
// width × height: `size` is the side of the aligned square in pixels of the picture; `sharpness`
// the deviation of the crop's Laplacian over that of its brightness; `brightness` the mean, from 0
// to 1; `yaw` how far the nose is off the middle of eyes and mouth, in distances between the eyes;
// `outOfFrame` the share of the square that lies outside the picture. `grey` is that of the crop.
export function measureQuality(crop, landmarks, width, height, template = "face", grey = greyOf(crop)) {
  const corners = squareCorners(landmarks, template);
  const luma = new Float32Array(grey.length);
  for (let i = 0; i < luma.length; i++) luma[i] = grey[i] / 255;
  const small = resizeBilinear(luma, 1, crop.height, crop.width, SIDE);
  const edges = new Float32Array((SIDE - 2) ** 2);
  for (let y = 1, at = 0; y < SIDE - 1; y++) {
    for (let x = 1; x < SIDE - 1; x++) {
      const i = y * SIDE + x;
      edges[at++] = small[i - SIDE] + small[i + SIDE] + small[i - 1] + small[i + 1] - 4 * small[i];
    }
  }
  const light = meanAndDeviation(small);
  return {
    size: Math.hypot(corners[1][0] - corners[0][0], corners[1][1] - corners[0][1]),
    sharpness: meanAndDeviation(edges)[1] / Math.max(1e-3, light[1]),
    brightness: light[0],
    yaw: yaw(landmarks),
    outOfFrame: outOfFrame(corners, width, height),
  };
}

function meanAndDeviation(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  const mean = sum / values.length;
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / values.length)];
}

function yaw([left, right, nose, mouthLeft, mouthRight]) {
  const [x, y] = [right[0] - left[0], right[1] - left[1]];
  const [offX, offY] = [0, 1].map(
    (i) => nose[i] - (left[i] + right[i] + mouthLeft[i] + mouthRight[i]) / 4,
  );
  return Math.abs((offX * x + offY * y) / Math.max(1e-6, x * x + y * y));
}

// By sampling a grid over the square.
function outOfFrame([corner, right, down], width, height) {
  const [rightX, rightY] = [right[0] - corner[0], right[1] - corner[1]];
  const [downX, downY] = [down[0] - corner[0], down[1] - corner[1]];
  let inside = 0;
  for (let i = 0; i < 16; i++) {
    for (let j = 0; j < 16; j++) {
      const [across, along] = [(j + 0.5) / 16, (i + 0.5) / 16];
      const x = corner[0] + across * rightX + along * downX;
      const y = corner[1] + across * rightY + along * downY;
      if (x >= 0 && x <= width && y >= 0 && y <= height) inside++;
    }
  }
  return 1 - inside / 256;
}

// The reasons, of `LIMITS` and in their order, to distrust predictions of such a face.
export function qualityFlags(quality) {
  const found = Object.entries(LIMITS)
    .filter(([, [field, limit, above]]) => (above ? quality[field] > limit : quality[field] < limit))
    .map(([reason]) => reason);
  // A small face is soft for that reason: one is enough to say.
  return found.filter((reason) => reason !== "blurred" || !found.includes("small"));
}
