// Photo page: picture, cards and table speak of the same face. A click on any of them selects it, and
// tells Python which one it was, which draws its chart.

import { boxAt, shownPart } from "./places.js";

const NARROW = 760; // pixels of the page, below which the result stands under what was chosen
const byId = (id) => document.getElementById(id);
const cards = () => [...element.querySelectorAll(".face-card")];
const rows = () => [...(byId("photo-table")?.querySelectorAll("tbody tr") ?? [])];
const picture = () => byId("photo-annotated")?.querySelector("img");

const boxOf = (card) => card.dataset.box.split(" ").map(Number);

function partOf(image) {
  const { clientWidth, clientHeight, naturalWidth, naturalHeight } = image;
  return shownPart(clientWidth, clientHeight, naturalWidth, naturalHeight);
}

// A frame round the chosen face, over the picture.
function mark(index) {
  const image = picture();
  const card = cards()[index];
  if (!image?.naturalWidth || !card) return;
  const frame = byId("photo-mark") ?? document.createElement("div");
  frame.id = "photo-mark";
  if (frame.parentElement !== image.parentElement) image.parentElement.append(frame);
  const part = partOf(image);
  const [x1, y1, x2, y2] = boxOf(card);
  const place = {
    left: image.offsetLeft + part.x + x1 * part.width,
    top: image.offsetTop + part.y + y1 * part.height,
    width: (x2 - x1) * part.width,
    height: (y2 - y1) * part.height,
  };
  for (const [name, pixels] of Object.entries(place)) frame.style[name] = pixels + "px";
}

function select(index) {
  cards().forEach((card, i) => card.setAttribute("aria-pressed", i === index));
  rows().forEach((row, i) => row.classList.toggle("chosen", i === index));
  mark(index);
}

const chosen = () => cards().findIndex((card) => card.ariaPressed === "true");

function choose(index) {
  select(index);
  cards()[index].scrollIntoView({ block: "nearest", inline: "nearest" });
  trigger("click", { face: index });
}

element.addEventListener("click", (event) => {
  const card = event.target.closest(".face-card");
  if (card) choose(Number(card.dataset.face));
});

document.addEventListener("click", (event) => {
  const row = event.target.closest("#photo-table tbody tr");
  if (row && cards().length) choose(rows().indexOf(row));
  const image = event.target.closest("#photo-annotated img");
  if (!image) return;
  const part = partOf(image);
  const [x, y] = [(event.offsetX - part.x) / part.width, (event.offsetY - part.y) / part.height];
  const index = boxAt(cards().map(boxOf), x, y);
  if (index >= 0) choose(index);
});

// A new result: its first face is chosen, and on a phone it comes into view.
function arrive() {
  if (!cards().length) return;
  const image = picture();
  const show = () => select(Math.max(0, chosen()));
  if (image && !image.complete) image.addEventListener("load", show, { once: true });
  setTimeout(show, 200); // table and picture arrive in turns
  if (innerWidth < NARROW) byId("photo-message")?.scrollIntoView({ block: "start" });
}

arrive();
new MutationObserver(arrive).observe(element, { childList: true, subtree: true });
addEventListener("resize", () => mark(chosen()));
