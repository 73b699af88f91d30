// Boxes and labels over a video or a picture.

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
  const middle = Math.max(0, Math.min((x1 + x2 - long) / 2, width - long));
  return [
    [x, y1 - high, x + long, y1],
    [right, y1 - high, right + long, y1],
    [x, y2, x + long, y2 + high],
    [right, y2, right + long, y2 + high],
    [middle, y1 - high, middle + long, y1],
    [middle, y2, middle + long, y2 + high],
    [x2, y1, x2 + long, y1 + high],
    [x1 - long, y1, x1, y1 + high],
  ];
}

// Which of some boxes a point means: the smallest that holds it, or else the nearest one within reach,
// for fingers are wider than small faces; or -1. All in one unit.
export function boxAt(boxes, x, y, reach = 0) {
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  const far = ([x1, y1, x2, y2]) => Math.hypot(Math.max(x1 - x, x - x2, 0), Math.max(y1 - y, y - y2, 0));
  const before = (a, b) => far(a) - far(b) || area(a) - area(b);
  const [nearest] = boxes.filter((box) => far(box) <= reach).sort(before);
  return boxes.indexOf(nearest);
}

const LETTERS = [9, 13]; // CSS pixels, between which numbers are as large as faces let them

// The size of letters on faces of these widths, all in CSS pixels.
export function letterSize(widths) {
  const middle = [...widths].sort((a, b) => a - b)[widths.length >> 1] ?? 0;
  return Math.max(LETTERS[0], Math.min(LETTERS[1], 0.8 * middle));
}

// `faces` are {id, box, color, ink, short, whole}, the last two what a label says of them; `size` is
// that of their letters in CSS pixels. A label that finds no free place is left out, or with `always`
// stands on its own face.
export function drawFaces(canvas, { width, height, mirrored, resized, size = 14, always }, faces, selected) {
  const pen = fit(canvas, width, height, resized);
  const shown = width / (canvas.clientWidth || width); // pixels of the picture in one of CSS
  const letter = size * shown;
  pen.font = "600 " + letter + "px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const taken = faces.map((face) => onStage(face.box, width, mirrored));
  // The selected face comes first, takes the best place, and alone has the whole label: a crowd
  // stays readable. No label covers a face or another label.
  for (const face of [...faces].sort((a, b) => (b.id === selected) - (a.id === selected))) {
    const chosen = face.id === selected;
    const box = onStage(face.box, width, mirrored);
    const [x1, y1, x2, y2] = box;
    const frame = (color, wide) => {
      pen.strokeStyle = color;
      pen.lineWidth = wide * shown;
      pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    };
    if (chosen) frame("#fff", 7);
    frame(face.color, chosen ? 4 : 2);
    pen.fillStyle = face.color;
    const high = letter * 1.7;
    const longOf = (text) => pen.measureText(text).width + letter;
    const placeOf = (text) => freePlace(labelPlaces(box, longOf(text), high, width), taken, width, height);
    // Where all of it finds no place, the short one may.
    const text = chosen && placeOf(face.whole) ? face.whole : face.short;
    const long = longOf(text);
    const place = placeOf(text) ?? (always && [x1, y1, x1 + long, y1 + high]);
    if (!place) continue; // its card says the same
    taken.push(place);
    const [x, y] = place;
    pen.fillRect(x, y, long, high);
    pen.fillStyle = face.ink;
    pen.fillText(text, x + letter / 2, y + high / 2);
  }
}
