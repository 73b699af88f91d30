// Places in a picture and on the page.

// Where the pixels of an image stand in its element, which may be wider or higher than they are.
export function shownPart(width, height, naturalWidth, naturalHeight) {
  const scale = Math.min(width / naturalWidth, height / naturalHeight);
  const [w, h] = [naturalWidth * scale, naturalHeight * scale];
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}

// Which of some boxes, [x1, y1, x2, y2] in shares of a picture, a point means: the smallest that
// holds it, or -1.
export function boxAt(boxes, x, y) {
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  return boxes.reduce((found, box, index) => {
    const inside = box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
    return inside && (found < 0 || area(box) < area(boxes[found])) ? index : found;
  }, -1);
}
