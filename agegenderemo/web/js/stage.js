// Boxes and labels over the video.
import { colorsOf, labelWords, leadWords } from "./words.js";

// Corners of a box on the stage. Only x is flipped: drawn text stays readable.
export function onStage(box, width, mirrored) {
  return mirrored ? [width - box[2], box[1], width - box[0], box[3]] : box;
}

// Makes the canvas as sharp as the screen; `resized` is called when its size changes.
function fit(canvas, width, height, resized) {
  const sharp = Math.max(1, Math.min(3, (canvas.clientWidth * devicePixelRatio) / width || 1));
  const [w, h] = [Math.round(width * sharp), Math.round(height * sharp)];
  if (canvas.width !== w || canvas.height !== h) {
    [canvas.width, canvas.height] = [w, h];
    resized();
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

// The first of some rectangles [x1, y1, x2, y2] that lies on none of the boxes and on the stage, or
// nothing.
export function freePlace(places, boxes, width, height) {
  const apart = (a, b) => a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
  const inside = ([x1, y1, x2, y2]) => x1 >= 0 && y1 >= 0 && x2 <= width && y2 <= height;
  return places.find((place) => inside(place) && boxes.every((box) => apart(place, box)));
}

// Where a label of some size may stand: above the box, below it, beside it.
function labelPlaces([x1, y1, x2, y2], long, high, width) {
  const x = Math.max(0, Math.min(x1, width - long));
  const right = Math.max(0, Math.min(x2 - long, width - long));
  return [
    [x, y1 - high, x + long, y1],
    [right, y1 - high, right + long, y1],
    [x, y2, x + long, y2 + high],
    [right, y2, right + long, y2 + high],
    [x2, y1, x2 + long, y1 + high],
    [x1 - long, y1, x1, y1 + high],
  ];
}

// `slots` are {id, face, numbers}; `network` is {tasks, plain} as the server describes it.
export function drawFaces(canvas, { width, height, mirrored, resized }, slots, selected, network) {
  const pen = fit(canvas, width, height, resized);
  const size = (14 * width) / (canvas.clientWidth || width); // 14 CSS pixels
  pen.font = "600 " + size + "px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const taken = slots.map((slot) => onStage(slot.face.box, width, mirrored));
  // The selected face comes first, takes the best place, and alone has the whole label: a crowd
  // stays readable. No label covers a face or another label.
  for (const slot of [...slots].sort((a, b) => (b.id === selected) - (a.id === selected))) {
    const box = onStage(slot.face.box, width, mirrored);
    const [x1, y1, x2, y2] = box;
    const { color, ink } = colorsOf(network.tasks, network.plain, slot.face);
    pen.strokeStyle = pen.fillStyle = color;
    pen.lineWidth = ((slot.id === selected ? 4 : 2) * size) / 14;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const words = slot.id === selected ? labelWords : leadWords;
    const text = words(network.tasks, slot.face, slot.numbers);
    const long = pen.measureText(text).width + size;
    const high = size * 1.7;
    const place = freePlace(labelPlaces(box, long, high, width), taken, width, height);
    if (!place) continue; // its card says the same
    taken.push(place);
    const [x, y] = place;
    pen.fillRect(x, y, long, high);
    pen.fillStyle = ink;
    pen.fillText(text, x + size / 2, y + high / 2);
  }
}
