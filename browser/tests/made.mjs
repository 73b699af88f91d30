// The made networks and the made detector of tests/browser_vectors_detector.py, number by number.

// One of MTCNN's networks: what it says is read off single pixels, exactly.
export class MadeNetwork {
  constructor(name) {
    Object.assign(this, { name, rows: [] });
  }

  async run(data, dims) {
    const [count, , height, width] = dims;
    assertLength(data, dims);
    this.rows.push(count);
    const at = (row, channel, y, x) => data[((row * 3 + channel) * height + y) * width + x];
    if (this.name === "pnet") {
      const [down, across] = [Math.floor((height - 10) / 2), Math.floor((width - 10) / 2)];
      const map = (channel) => Array.from({ length: down * across }, (_, i) => at(0, channel, 5 + 2 * Math.floor(i / across), 4 + 2 * (i % across)));
      const scores = map(0).map((value) => Math.fround(value * 0.5 + 0.5));
      return [
        output([0, 1, 2, 1].flatMap((channel) => map(channel).map((value) => value * 0.25)), [1, 4, down, across]),
        output([...scores.map((score) => 1 - score), ...scores], [1, 2, down, across]),
      ];
    }
    const rows = Array.from({ length: count }, (_, row) => row);
    const pairs = rows.flatMap((row) => {
      const score = Math.fround(at(row, 1, height / 2, height / 3) * 0.25 + 0.75);
      return [1 - score, score];
    });
    const shifts = rows.flatMap((row) => [0, 1, 2, 3].map((i) => at(row, i % 3, 5 * i + 2, 4 * i + 3) * 0.25));
    const tens = Array.from({ length: 10 }, (_, i) => i);
    const points = this.name === "rnet" ? [] : rows.flatMap((row) => tens.map((i) => at(row, i % 3, 2 * i + 1, i + 9) * 0.5 + 0.5));
    const said = [output(shifts, [count, 4]), output(points, [count, 10]), output(pairs, [count, 2])];
    return this.name === "rnet" ? [said[0], said[2]] : said;
  }
}

function output(values, dims) {
  return { data: Float32Array.from(values), dims };
}

function assertLength(data, dims) {
  const length = dims.reduce((product, size) => product * size, 1);
  if (data.length !== length) throw new Error(`${data.length} values are not ${dims.join("×")}.`);
}

// Sees faces by the count of its looks, which may begin later, and records at what it looks.
export class MadeDetector {
  constructor(known, after) {
    Object.assign(this, { known, after, looks: [] });
  }

  async detect(image, { minFaceSize = null } = {}) {
    this.#look(image, [minFaceSize]);
    const looks = this.looks.length;
    return Array.from({ length: looks === 1 ? this.known : looks % 3 }, (_, i) => this.#face(image, i));
  }

  async refine(image, boxes) {
    this.#look(image, boxes.flat());
    return boxes.map(() => (this.looks.length % 5 === 0 ? null : this.#face(image, 0)));
  }

  #look({ width, height, data }, said) {
    let checksum = 0;
    for (let i = 0; i < data.length; i++) checksum += data[i] * ((i % 251) + 1);
    this.looks.push([height, width, checksum, ...said]);
  }

  #face({ width, height }, i) {
    const count = this.looks.length + this.after;
    const side = Math.min(height, width) / (4 + (count % 7));
    const x = ((width - side) * ((count * 3 + i * 5) % 10)) / 10;
    const y = ((height - side) * (i + 1)) / 4;
    const landmarks = [[x, y], [x + side, y], [x + 1, y + 2], [x, y + side], [x + 3, y + side]];
    return { box: [x, y, x + side, y + side], score: 1 - ((count * 31 + i * 17) % 40) / 1500, landmarks };
  }
}
