// Three reductions, each to the bit what Python computes: MTCNN's mean over areas, antialiased
// bilinear interpolation of float32 planes, and Pillow's integer resampling of bytes.

import { crop, newImage, roundHalfEven } from "./image.js";

const { fround } = Math;
const CHANNELS = 3;

// --- means over areas -----------------------------------------------------------------------

// Sums over everything above and left of each corner of a pixel, rows of corners, RGB interleaved.
// They wrap at 2³²; differences do not, for areas under sixteen million pixels.
export function summedArea(image) {
  const { width, height, data } = image;
  const line = CHANNELS * (width + 1);
  const sums = new Int32Array((height + 1) * line);
  for (let row = 0, from = 0, to = line; row < height; row++) {
    let red = 0;
    let green = 0;
    let blue = 0;
    to += CHANNELS; // left of the picture everything is zero
    for (let column = 0; column < width; column++, from += 3, to += 3) {
      red += data[from];
      green += data[from + 1];
      blue += data[from + 2];
      sums[to] = sums[to - line] + red;
      sums[to + 1] = sums[to + 1 - line] + green;
      sums[to + 2] = sums[to + 2 - line] + blue;
    }
  }
  return { width, height, sums };
}

// The whole picture of a `summedArea` table at another size: Float32Array 3×height×width in [0, 255].
// Each value is the mean over the pixels that its area touches, which may overlap, as PyTorch's
// interpolate(mode="area") has it: the sum is exact, the divisions are float32.
export function areaResizeTable(table, height, width) {
  const means = new Float32Array(CHANNELS * height * width);
  const rows = windows(table.height, height);
  const columns = windows(table.width, width);
  areaMeans(table, 0, 0, rows, columns, height, width, means, 0);
  return means;
}

// Regions of the picture of a table, each as `areaResizeTable` would have it: Float32Array
// N×3×size×size. `boxes` are [x1, y1, x2, y2] in whole pixels inside the picture, none empty.
export function areaResizeBoxes(table, boxes, size) {
  const each = CHANNELS * size * size;
  const means = new Float32Array(boxes.length * each);
  const rows = new Int32Array(2 * size);
  const columns = new Int32Array(2 * size);
  for (let i = 0; i < boxes.length; i++) {
    const [x1, y1, x2, y2] = boxes[i];
    fillWindows(rows, y2 - y1, size);
    fillWindows(columns, x2 - x1, size);
    areaMeans(table, x1, y1, rows, columns, size, size, means, i * each);
  }
  return means;
}

function areaMeans(table, x, y, rows, columns, height, width, means, start) {
  const { sums } = table;
  const line = CHANNELS * (table.width + 1);
  const plane = height * width;
  let to = start;
  for (let row = 0; row < height; row++) {
    const top = (y + rows[2 * row]) * line + CHANNELS * x;
    const bottom = (y + rows[2 * row + 1]) * line + CHANNELS * x;
    const tall = rows[2 * row + 1] - rows[2 * row];
    for (let column = 0; column < width; column++, to++) {
      const first = columns[2 * column];
      const last = columns[2 * column + 1];
      const wide = last - first;
      const northWest = top + 3 * first;
      const northEast = top + 3 * last;
      const southWest = bottom + 3 * first;
      const southEast = bottom + 3 * last;
      const red = (sums[southEast] - sums[northEast] - sums[southWest] + sums[northWest]) >>> 0;
      const green = (sums[southEast + 1] - sums[northEast + 1] - sums[southWest + 1] + sums[northWest + 1]) >>> 0;
      const blue = (sums[southEast + 2] - sums[northEast + 2] - sums[southWest + 2] + sums[northWest + 2]) >>> 0;
      means[to] = fround(fround(fround(red) / fround(tall)) / fround(wide));
      means[to + plane] = fround(fround(fround(green) / fround(tall)) / fround(wide));
      means[to + 2 * plane] = fround(fround(fround(blue) / fround(tall)) / fround(wide));
    }
  }
}

// The part of a picture between x1, y1 and x2, y2 at another size, as `areaResizeTable` has it,
// written into `means` from `start` on. For one size alone this is faster than the table.
export function areaResizeInto(image, [x1, y1, x2, y2], height, width, means, start = 0) {
  const { data } = image;
  const across = CHANNELS * (x2 - x1);
  const rows = windows(y2 - y1, height);
  const columns = windows(x2 - x1, width);
  const band = new Int32Array(across);
  const plane = height * width;
  let to = start;
  for (let row = 0; row < height; row++) {
    const top = rows[2 * row];
    const bottom = rows[2 * row + 1];
    const tall = bottom - top;
    let from = CHANNELS * ((y1 + top) * image.width + x1);
    for (let i = 0; i < across; i++) band[i] = data[from + i];
    for (let line = top + 1; line < bottom; line++) {
      from += CHANNELS * image.width;
      for (let i = 0; i < across; i++) band[i] += data[from + i];
    }
    for (let column = 0; column < width; column++, to++) {
      const first = columns[2 * column];
      const last = columns[2 * column + 1];
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let i = 3 * first; i < 3 * last; i += 3) {
        red += band[i];
        green += band[i + 1];
        blue += band[i + 2];
      }
      means[to] = fround(fround(fround(red) / fround(tall)) / fround(last - first));
      means[to + plane] = fround(fround(fround(green) / fround(tall)) / fround(last - first));
      means[to + 2 * plane] = fround(fround(fround(blue) / fround(tall)) / fround(last - first));
    }
  }
}

// A picture at another size, Float32Array 3×height×width in [0, 255].
export function areaResize(image, height, width) {
  const means = new Float32Array(CHANNELS * height * width);
  areaResizeInto(image, [0, 0, image.width, image.height], height, width, means);
  return means;
}

// First pixel and the one past the last of each of `size` areas along an axis, in turns.
function windows(length, size) {
  const edges = new Int32Array(2 * size);
  fillWindows(edges, length, size);
  return edges;
}

function fillWindows(edges, length, size) {
  for (let step = 0; step < size; step++) {
    edges[2 * step] = Math.floor((step * length) / size);
    edges[2 * step + 1] = Math.ceil(((step + 1) * length) / size);
  }
}

// --- antialiased bilinear interpolation -----------------------------------------------------

// Planes count×height×width at count×size×size, float32, as PyTorch's bilinear interpolate with
// antialias=True has them, but for rounding.
export function resizeBilinear(planes, count, height, width, size) {
  const wide = width === size ? planes : alongRows(planes, count * height, width, size);
  return height === size ? wide : alongColumns(wide, count, height, size, size);
}

function alongRows(planes, lines, length, size) {
  const { places, weights, count } = taps(length, size);
  const total = new Float32Array(lines * size);
  for (let line = 0; line < lines; line++) {
    const from = line * length;
    const to = line * size;
    for (let i = 0; i < size; i++) {
      let sum = fround(planes[from + places[i]] * weights[i]);
      for (let tap = 1, at = size + i; tap < count; tap++, at += size) {
        sum = fround(sum + fround(planes[from + places[at]] * weights[at]));
      }
      total[to + i] = sum;
    }
  }
  return total;
}

function alongColumns(planes, count, length, width, size) {
  const { places, weights, count: tapCount } = taps(length, size);
  const total = new Float32Array(count * size * width);
  for (let plane = 0, to = 0; plane < count; plane++) {
    const start = plane * length * width;
    for (let row = 0; row < size; row++, to += width) {
      for (let tap = 0; tap < tapCount; tap++) {
        const weight = weights[tap * size + row];
        const from = start + places[tap * size + row] * width;
        if (tap === 0) {
          for (let i = 0; i < width; i++) total[to + i] = fround(planes[from + i] * weight);
        } else {
          for (let i = 0; i < width; i++) total[to + i] = fround(total[to + i] + fround(planes[from + i] * weight));
        }
      }
    }
  }
  return total;
}

const known = new Map();

// For each tap and output, count×size: the input pixel that it reads, and its weight.
function taps(length, size) {
  const key = length * 65536 + size;
  if (!known.has(key)) {
    if (known.size >= 64) known.clear();
    known.set(key, newTaps(length, size));
  }
  return known.get(key);
}

function newTaps(length, size) {
  const scale = length / size;
  const reach = Math.max(1, scale); // when enlarging, plain bilinear
  const middles = Float64Array.from({ length: size }, (_, i) => scale * (i + 0.5));
  const firsts = Array.from(middles, (middle) => Math.max(0, Math.floor(middle - reach + 0.5)));
  const lasts = Array.from(middles, (middle) => Math.min(length, Math.floor(middle + reach + 0.5)));
  const count = Math.max(...firsts.map((first, i) => lasts[i] - first));
  const places = new Int32Array(count * size);
  const weights = new Float32Array(count * size);
  const column = new Float64Array(count);
  for (let i = 0; i < size; i++) {
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const place = firsts[i] + tap;
      const weight = Math.max(0, 1 - Math.abs(place + 0.5 - middles[i]) / reach);
      column[tap] = place < lasts[i] ? weight : 0;
      sum += column[tap];
      places[tap * size + i] = Math.min(place, length - 1);
    }
    for (let tap = 0; tap < count; tap++) weights[tap * size + i] = column[tap] / sum;
  }
  return { places, weights, count };
}

// --- Pillow's resampling --------------------------------------------------------------------

const PRECISION_BITS = 22;
const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
};

// What Pillow's Image.resize makes of an RGB picture: across and then down, rounded to bytes after
// each, with weights of 22 bits. `filter` is "box" or "bilinear". Of a `part`, [x1, y1, x2, y2] in
// pixels of the result, only that is computed and returned.
export function pillowResize(image, width, height, filter, part = [0, 0, width, height]) {
  const chosen = FILTERS[filter];
  if (!chosen) throw new RangeError(`The filter must be box or bilinear, not ${filter}.`);
  if (width < 1 || height < 1) throw new RangeError(`A picture has at least one pixel, not ${width}×${height}.`);
  const [x1, y1, x2, y2] = part;
  const all = x2 - x1 === width && y2 - y1 === height;
  const factors = [image.width / width, image.height / height];
  const narrow = image.height > 100 * image.width && height < image.height;
  if (filter === "box" && all && !narrow && factors.every(Number.isInteger)) return wholeFactors(image, width, height, ...factors);
  const down = image.height === height ? null : resampling(image.height, height, chosen, y1, y2);
  const across = image.width === width ? null : resampling(image.width, width, chosen, x1, x2);
  if (narrow) {
    // A picture so narrow is reduced in height first.
    const low = resampleRows(image, down, 0);
    return across ? resampleColumns(low, across, 0, low.height) : crop(low, x1, 0, x2, low.height);
  }
  if (!down) return across ? resampleColumns(image, across, y1, y2) : crop(image, x1, y1, x2, y2);
  if (!across) return resampleRows(crop(image, x1, 0, x2, image.height), down, 0);
  const first = down.starts[0];
  const last = down.starts[down.size - 1] + down.counts[down.size - 1];
  return resampleRows(resampleColumns(image, across, first, last), down, first);
}

// The source pixels of each pixel along an axis from `begin` up to `end`: the first, how many, and
// their integer weights.
function resampling(length, whole, { support, weight }, begin, end) {
  const size = end - begin;
  const scale = length / whole;
  const stretch = Math.max(1, scale);
  const reach = support * stretch;
  const most = 2 * Math.ceil(reach) + 1;
  const starts = new Int32Array(size);
  const counts = new Int32Array(size);
  const weights = new Int32Array(size * most);
  const part = new Float64Array(most);
  for (let i = 0; i < size; i++) {
    const middle = (begin + i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - reach + 0.5));
    const count = Math.min(length, Math.trunc(middle + reach + 0.5)) - first;
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      part[tap] = weight((tap + first - middle + 0.5) * (1 / stretch));
      sum += part[tap];
    }
    for (let tap = 0; tap < count; tap++) {
      const share = sum === 0 ? part[tap] : part[tap] / sum;
      weights[i * most + tap] = Math.trunc(0.5 + share * (1 << PRECISION_BITS));
    }
    starts[i] = first;
    counts[i] = count;
  }
  return { size, most, starts, counts, weights };
}

// The rows from `top` up to `bottom`, each at another width.
function resampleColumns(image, { size, most, starts, counts, weights }, top, bottom) {
  const result = newImage(size, bottom - top);
  const from = image.data;
  const into = result.data;
  for (let row = top, to = 0; row < bottom; row++) {
    const line = CHANNELS * row * image.width;
    for (let i = 0; i < size; i++, to += 3) {
      let red = 1 << (PRECISION_BITS - 1);
      let green = red;
      let blue = red;
      let at = line + 3 * starts[i];
      const end = i * most + counts[i];
      for (let tap = i * most; tap < end; tap++, at += 3) {
        const weight = weights[tap];
        red = (red + from[at] * weight) | 0;
        green = (green + from[at + 1] * weight) | 0;
        blue = (blue + from[at + 2] * weight) | 0;
      }
      into[to] = Math.min(255, red >> PRECISION_BITS);
      into[to + 1] = Math.min(255, green >> PRECISION_BITS);
      into[to + 2] = Math.min(255, blue >> PRECISION_BITS);
    }
  }
  return result;
}

// Another height of a picture whose first row is the source's row `first`.
function resampleRows(image, { size, most, starts, counts, weights }, first) {
  const line = CHANNELS * image.width;
  const result = newImage(image.width, size);
  const from = image.data;
  const into = result.data;
  const sums = new Int32Array(line);
  for (let row = 0; row < size; row++) {
    sums.fill(1 << (PRECISION_BITS - 1));
    // Two rows at once: the sums are read and written half as often.
    for (let tap = 0; tap < counts[row]; tap += 2) {
      const weight = weights[row * most + tap];
      const both = tap + 1 < counts[row];
      const other = both ? weights[row * most + tap + 1] : 0;
      const start = (starts[row] - first + tap) * line;
      const next = both ? start + line : start;
      for (let i = 0; i < line; i++) sums[i] = sums[i] + Math.imul(from[start + i], weight) + Math.imul(from[next + i], other);
    }
    const to = row * line;
    for (let i = 0; i < line; i++) into[to + i] = Math.min(255, sums[i] >> PRECISION_BITS);
  }
  return result;
}

// Means of so many pixels across and down, as both passes would have them: every weight is the same
// then, and a live picture is reduced in a third of the time.
function wholeFactors(image, width, height, across, down) {
  const result = newImage(width, height);
  const from = image.data;
  const into = result.data;
  const half = 1 << (PRECISION_BITS - 1);
  const weightAcross = Math.trunc(0.5 + (1 << PRECISION_BITS) / across);
  const weightDown = Math.trunc(0.5 + (1 << PRECISION_BITS) / down);
  const sums = new Int32Array(CHANNELS * width);
  for (let row = 0, at = 0, to = 0; row < height; row++) {
    sums.fill(0);
    for (let line = 0; line < down; line++) {
      if (across === 2) {
        for (let i = 0; i < sums.length; i += 3, at += 6) {
          sums[i] += (from[at] + from[at + 3] + 1) >> 1;
          sums[i + 1] += (from[at + 1] + from[at + 4] + 1) >> 1;
          sums[i + 2] += (from[at + 2] + from[at + 5] + 1) >> 1;
        }
        continue;
      }
      for (let i = 0; i < sums.length; i += 3) {
        let red = 0;
        let green = 0;
        let blue = 0;
        for (const end = at + 3 * across; at < end; at += 3) {
          red += from[at];
          green += from[at + 1];
          blue += from[at + 2];
        }
        sums[i] += (red * weightAcross + half) >> PRECISION_BITS;
        sums[i + 1] += (green * weightAcross + half) >> PRECISION_BITS;
        sums[i + 2] += (blue * weightAcross + half) >> PRECISION_BITS;
      }
    }
    for (let i = 0; i < sums.length; i++, to++) into[to] = (sums[i] * weightDown + half) >> PRECISION_BITS;
  }
  return result;
}

// The picture with its longer side at most `maxSide` pixels, and new size over old: the scale is one
// where it is small enough already, and it is then returned as it is.
export function shrink(image, maxSide) {
  const scale = maxSide / Math.max(image.width, image.height);
  if (scale >= 1) return { image, scale: 1 };
  const width = Math.max(1, roundHalfEven(image.width * scale));
  const height = Math.max(1, roundHalfEven(image.height * scale));
  return { image: pillowResize(image, width, height, "box"), scale };
}
