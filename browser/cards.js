// The faces of a picture as cards and as a table: what cards.py of the server's page makes.
import { fixed, percent } from "../agegenderemo/web/js/words.js";

const CROP_SIDE = 96; // pixels of a card's picture
const MARGIN = 0.25; // of the box's longer side, around it

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const number = (task, value) => fixed(value, task.digits);

function range(task, face) {
  const ends = face[task.name + "_interval"];
  return ends ? "probably " + number(task, ends[0]) + " to " + number(task, ends[1]) : "";
}

const hedged = (task, face) => (face[task.name + "_confident"] === false ? "probably " : "") + face[task.name];

const probability = (task, face) =>
  task.kind === "binary" ? face[task.name + "_probability"] : face[task.probabilities][face[task.name]];

function label(task, face) {
  if (task.kind === "binary") return make("span", "", hedged(task, face));
  const made = make("span", "face-class", hedged(task, face));
  made.style.setProperty("--dot", task.classes.find(({ name }) => name === face[task.name]).color);
  return made;
}

function cardLines(task, face) {
  const named = task.alone ? "" : task.title + ": ";
  if (task.kind === "categorical") return [make("span", "", named, label(task, face))];
  if (task.kind === "binary") {
    return [make("span", "", named, label(task, face), " " + percent(probability(task, face)))];
  }
  const unit = task.unit ? [" ", make("small", "", task.unit)] : [];
  const title = named ? [make("small", "", named)] : [];
  const line = make("span", "face-number", ...title, number(task, face[task.name]), ...unit);
  const ends = range(task, face);
  return ends ? [line, make("span", "face-range", ends)] : [line];
}

// The face of a picture with some margin.
function crop(picture, [x1, y1, x2, y2]) {
  const side = (1 + 2 * MARGIN) * Math.max(x2 - x1, y2 - y1);
  const canvas = make("canvas", "face-crop");
  canvas.width = canvas.height = 2 * CROP_SIDE; // sharp on dense screens
  const from = [(x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side, side];
  canvas.getContext("2d").drawImage(picture, ...from, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// A button a face with its picture and a line a task.
export function faceCards(picture, faces, tasks) {
  return faces.map((face, index) => {
    const flags = face.quality_flags.length ? [make("span", "face-flags", face.quality_flags.join(", "))] : [];
    const text = make("span", "face-text", ...tasks.flatMap((task) => cardLines(task, face)), ...flags);
    const badge = make("span", "face-index", String(index + 1));
    badge.ariaHidden = "true";
    const card = make("button", "face-card", badge, crop(picture, face.box), text);
    card.type = "button";
    card.dataset.face = index;
    return card;
  });
}

function cell(task, face) {
  if (task.kind === "regression") {
    const ends = range(task, face);
    return make("td", "", number(task, face[task.name]), ...(ends ? [", ", make("small", "", ends)] : []));
  }
  return make("td", "", label(task, face), " ", make("small", "", percent(probability(task, face))));
}

// Head and rows of a table with a row a face.
export function faceTable(faces, tasks) {
  const titles = ["Face", ...tasks.map(({ title }) => title), "Detector", "Notes"];
  const head = make("thead", "", make("tr", "", ...titles.map((title) => make("th", "", title))));
  const rows = faces.map((face, index) =>
    make(
      "tr",
      "",
      make("td", "", String(index + 1)),
      ...tasks.map((task) => cell(task, face)),
      make("td", "", percent(face.score)),
      make("td", "", face.quality_flags.join(", ")),
    ),
  );
  return [head, make("tbody", "", ...rows)];
}
