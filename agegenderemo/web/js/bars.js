// A card of the Live page: a headline, and for each categorical task a bar a class.
import { categorical, hints, leadWords, otherWords, percent, rangeWords } from "./words.js";

function make(tag, className, ...children) {
  const made = Object.assign(document.createElement(tag), { className });
  made.append(...children);
  return made;
}

function newBar({ name, color, ink }) {
  const filled = make("span", "bar-fill");
  Object.assign(filled.style, { backgroundColor: color, color: ink });
  const bar = make(
    "li",
    "bar",
    make("span", "bar-name", name),
    make("span", "bar-track", filled),
    make("span", "bar-value", "0 %"),
  );
  bar.dataset.class = name;
  return bar;
}

// The bars of a task, to be appended to a card.
export function newBars(task) {
  const bars = make("ul", "bars", ...task.classes.map(newBar));
  bars.dataset.task = task.name;
  bars.setAttribute("aria-label", task.several);
  return bars;
}

// The strip below the bars, and what its ends mean.
export function newRibbon(task, seconds) {
  const ribbon = Object.assign(make("canvas", "live-ribbon"), { width: 600, height: 64 });
  ribbon.setAttribute("role", "img");
  ribbon.setAttribute("aria-label", task.several + " of the last thirty seconds");
  const scale = make(
    "p",
    "live-ribbon-scale",
    make("span", "", seconds + " seconds ago"),
    make("span", "", "now"),
  );
  return [ribbon, scale];
}

// A card made from its template, with what its network has.
export function newCard(template, tasks, ribbonSeconds) {
  const card = template.content.firstElementChild.cloneNode(true);
  const barred = categorical(tasks);
  card.append(...barred.map(newBars), ...(barred.length ? newRibbon(barred[0], ribbonSeconds) : []));
  return card;
}

const PICTURE_EVERY = 1000; // ms
const MARGIN = 0.25; // of the longer side of a face, around it

// The face's picture on its card, cut from the frame; a new one now and then, for it must not flicker.
export function fillPicture(card, face, frame, mirrored, now) {
  if (now - (card.dataset.pictured ?? -Infinity) < PICTURE_EVERY) return;
  card.dataset.pictured = now;
  const picture = card.querySelector(".live-picture");
  const [x1, y1, x2, y2] = face.box;
  const side = (1 + 2 * MARGIN) * Math.max(x2 - x1, y2 - y1);
  const pen = picture.getContext("2d");
  pen.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? picture.width : 0, 0);
  pen.clearRect(0, 0, picture.width, picture.height);
  pen.drawImage(
    frame,
    (x1 + x2 - side) / 2,
    (y1 + y2 - side) / 2,
    side,
    side,
    0,
    0,
    picture.width,
    picture.height,
  );
}

// Show a face; `numbers` are its settled ones, by task.
export function fillCard(card, tasks, face, numbers, selected) {
  const text = (selector, words) => (card.querySelector(selector).textContent = words);
  card.classList.toggle("selected", selected);
  card.setAttribute("aria-pressed", selected);
  text(".live-number", leadWords(tasks, face, numbers));
  text(".live-rest", otherWords(tasks, face, numbers, selected));
  text(".live-range", rangeWords(tasks, face));
  text(".live-hint", hints(face));
  fillBars(card, tasks, face);
}

// Show a face in the bars within an element.
export function fillBars(place, tasks, face) {
  for (const task of categorical(tasks)) {
    const values = face[task.probabilities];
    for (const bar of place.querySelectorAll('[data-task="' + task.name + '"] .bar')) {
      const value = values[bar.dataset.class];
      bar.dataset.value = value;
      bar.classList.toggle("top", bar.dataset.class === face[task.name]);
      bar.querySelector(".bar-fill").style.transform = "scaleX(" + value + ")";
      bar.querySelector(".bar-value").textContent = percent(value);
    }
  }
}
