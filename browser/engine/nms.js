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
  const pixel = smaller ? 1 : 0;
  const most = fround(threshold); // numpy compares float32 with float32
  const areas = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const width = fround(fround(boxes[4 * i + 2] - boxes[4 * i]) + pixel);
    areas[i] = width * fround(fround(boxes[4 * i + 3] - boxes[4 * i + 1]) + pixel);
  }
  const kept = [];
  for (let alive = count; alive > 0; ) {
    const best = order[0]; // of those that are left, which move up
    kept.push(best);
    const x1 = boxes[4 * best];
    const y1 = boxes[4 * best + 1];
    const x2 = boxes[4 * best + 2];
    const y2 = boxes[4 * best + 3];
    const area = areas[best];
    let left = 0;
    for (let i = 1; i < alive; i++) {
      const other = order[i];
      const at = 4 * other;
      const width = fround(fround(Math.min(x2, boxes[at + 2]) - Math.max(x1, boxes[at])) + pixel);
      if (width > 0) {
        const height = fround(fround(Math.min(y2, boxes[at + 3]) - Math.max(y1, boxes[at + 1])) + pixel);
        if (height > 0) { // a box of no area neither covers nor is covered
          const inner = fround(width * height);
          const whole = smaller ? Math.min(area, areas[other]) : fround(fround(area + areas[other]) - inner);
          if (fround(inner / whole) > most) continue;
        }
      }
      order[left++] = other;
    }
    alive = left;
  }
  return kept;
}
