// Non-maximum suppression as MTCNN of facenet-pytorch does it, with ties decided: of boxes with
// equal scores the *earlier* one wins, everywhere, because a face's predictions hang on it.

const { fround } = Math;

// Indices of the boxes that no better one covers, the best first. `boxes` are a Float32Array N×4
// (x1, y1, x2, y2); one goes when its intersection over union with a better one is more than
// `threshold`, areas counted without the last pixel, as torchvision does.
export function nms(boxes, scores, threshold) {
  return suppress(boxes, scores, threshold, false);
}

// As `nms`, by the intersection over the *smaller* of two areas, each counted with its last pixel,
// as the library's last step does.
export function nmsMin(boxes, scores, threshold) {
  return suppress(boxes, scores, threshold, true);
}

function suppress(boxes, scores, threshold, smaller) {
  const count = scores.length;
  const order = new Int32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  order.sort((a, b) => scores[b] - scores[a] || a - b);
  const sorted = new Float32Array(4 * count);
  const areas = new Float32Array(count);
  const pixel = smaller ? 1 : 0;
  for (let i = 0; i < count; i++) {
    const from = 4 * order[i];
    for (let side = 0; side < 4; side++) sorted[4 * i + side] = boxes[from + side];
    const width = fround(fround(sorted[4 * i + 2] - sorted[4 * i]) + pixel);
    const height = fround(fround(sorted[4 * i + 3] - sorted[4 * i + 1]) + pixel);
    areas[i] = fround(width * height);
  }
  const most = fround(threshold); // numpy compares float32 with float32
  const gone = new Uint8Array(count);
  const kept = [];
  for (let best = 0; best < count; best++) {
    if (gone[best]) continue;
    kept.push(order[best]);
    const x1 = sorted[4 * best];
    const y1 = sorted[4 * best + 1];
    const x2 = sorted[4 * best + 2];
    const y2 = sorted[4 * best + 3];
    const area = areas[best];
    for (let i = best + 1, at = 4 * i; i < count; i++, at += 4) {
      if (gone[i]) continue;
      const width = fround(fround(Math.min(x2, sorted[at + 2]) - Math.max(x1, sorted[at])) + pixel);
      const height = fround(fround(Math.min(y2, sorted[at + 3]) - Math.max(y1, sorted[at + 1])) + pixel);
      if (!(width > 0 && height > 0)) continue; // they do not touch: a share of zero
      const inner = fround(width * height);
      const whole = smaller ? Math.min(area, areas[i]) : fround(fround(area + areas[i]) - inner);
      // A box of no area neither covers nor is covered.
      if (whole > 0 && fround(inner / whole) > most) gone[i] = 1;
    }
  }
  return kept;
}
