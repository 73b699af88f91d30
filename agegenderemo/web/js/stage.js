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

// `slots` are {id, face, numbers}; `network` is {tasks, plain} as the server describes it.
export function drawFaces(canvas, { width, height, mirrored, resized }, slots, selected, network) {
  const pen = fit(canvas, width, height, resized);
  const size = (14 * width) / (canvas.clientWidth || width); // 14 CSS pixels
  pen.font = "600 " + size + "px system-ui, sans-serif";
  pen.textBaseline = "middle";
  // The selected face comes last, on top, and alone has the whole label: a crowd stays readable.
  for (const slot of [...slots].sort((a, b) => (a.id === selected) - (b.id === selected))) {
    const [x1, y1, x2, y2] = onStage(slot.face.box, width, mirrored);
    const { color, ink } = colorsOf(network.tasks, network.plain, slot.face);
    pen.strokeStyle = pen.fillStyle = color;
    pen.lineWidth = ((slot.id === selected ? 4 : 2) * size) / 14;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const words = slot.id === selected ? labelWords : leadWords;
    const text = words(network.tasks, slot.face, slot.numbers);
    const long = pen.measureText(text).width + size;
    const high = size * 1.7;
    const x = Math.max(0, Math.min(x1 - pen.lineWidth / 2, width - long));
    const y = y1 >= high ? y1 - high : Math.min(y2, height - high);
    pen.fillRect(x, y, long, high);
    pen.fillStyle = ink;
    pen.fillText(text, x + size / 2, y + high / 2);
  }
}
