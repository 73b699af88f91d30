// Pictures are { width, height, data }: RGB bytes, interleaved, row by row, without alpha.

const CHANNELS = 3;

// A picture of so many pixels; black unless its bytes are given.
export function newImage(width, height, data = new Uint8Array(CHANNELS * width * height)) {
  if (data.length !== CHANNELS * width * height) {
    throw new RangeError(`An image of ${width}×${height} pixels has ${CHANNELS * width * height} bytes, not ${data.length}.`);
  }
  return { width, height, data };
}

// Throws, in one sentence, for what is no picture of this engine.
export function checkImage(image) {
  const { width, height, data } = image ?? {};
  if (!(width > 0 && height > 0) || !ArrayBuffer.isView(data) || data.length !== CHANNELS * width * height) {
    throw new TypeError("An image must be { width, height, data } of RGB bytes.");
  }
}

// A picture from a canvas's bytes, whose fourth channel is left out: what is seen through must have
// been laid over white before.
export function fromRgba(rgba, width, height) {
  if (rgba.length !== 4 * width * height) {
    throw new RangeError(`An RGBA image of ${width}×${height} pixels has ${4 * width * height} bytes, not ${rgba.length}.`);
  }
  const image = newImage(width, height);
  const { data } = image;
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return image;
}

// The part between two corners, whole pixels; a copy. What lies outside is left out.
export function crop(image, left, top, right, bottom) {
  const x1 = Math.min(Math.max(0, left), image.width);
  const y1 = Math.min(Math.max(0, top), image.height);
  const width = Math.max(0, Math.min(image.width, right) - x1);
  const height = Math.max(0, Math.min(image.height, bottom) - y1);
  const part = newImage(width, height);
  const line = CHANNELS * width;
  for (let row = 0; row < height; row++) {
    const start = CHANNELS * ((y1 + row) * image.width + x1);
    part.data.set(image.data.subarray(start, start + line), row * line);
  }
  return part;
}

// The picture as a mirror shows it; a copy.
export function mirror(image) {
  const { width, height, data } = image;
  const flipped = new Uint8Array(data.length);
  for (let row = 0, from = 0; row < height; row++) {
    let to = CHANNELS * ((row + 1) * width - 1);
    for (let column = 0; column < width; column++, from += 3, to -= 3) {
      flipped[to] = data[from];
      flipped[to + 1] = data[from + 1];
      flipped[to + 2] = data[from + 2];
    }
  }
  return newImage(width, height, flipped);
}

// With a border of so many pixels all round, in which the outermost ones are repeated.
export function padEdge(image, border) {
  const { width, height, data } = image;
  const padded = newImage(width + 2 * border, height + 2 * border);
  const line = CHANNELS * padded.width;
  for (let row = 0; row < height; row++) {
    const from = CHANNELS * row * width;
    const to = (row + border) * line;
    padded.data.set(data.subarray(from, from + CHANNELS * width), to + CHANNELS * border);
    for (let channel = 0; channel < CHANNELS; channel++) {
      const first = data[from + channel];
      const last = data[from + CHANNELS * (width - 1) + channel];
      for (let column = 0; column < border; column++) {
        padded.data[to + CHANNELS * column + channel] = first;
        padded.data[to + CHANNELS * (border + width + column) + channel] = last;
      }
    }
  }
  for (let row = 0; row < border; row++) {
    padded.data.copyWithin(row * line, border * line, (border + 1) * line);
    padded.data.copyWithin((border + height + row) * line, (border + height - 1) * line, (border + height) * line);
  }
  return padded;
}

// To the nearest whole number, halves to the even one, as Python and numpy round.
export function roundHalfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
