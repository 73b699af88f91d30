// Photo page: picture, cards and table speak of the same face. A click on any of them selects it, and
// tells Python which one it was, which draws its chart.

import { boxAt, drawFaces, letterSize } from "./stage.js";

const NARROW = 760; // pixels of the page, below which the result stands under what was chosen
const REACH = 16; // CSS pixels beside a face that a click may be
const byId = (id) => document.getElementById(id);
const cards = () => [...element.querySelectorAll(".face-card")];
const rows = () => [...(byId("photo-table")?.querySelectorAll("tbody tr") ?? [])];
const place = () => byId("photo-picture")?.querySelector(".photo-place");

// Boxes come in shares of the picture's width and height.
const facesOf = (stage) => JSON.parse(decodeURIComponent(stage.dataset.faces));
const scaled = ([x1, y1, x2, y2], width, height) => [x1 * width, y1 * height, x2 * width, y2 * height];

const chosen = () => cards().findIndex((card) => card.ariaPressed === "true");

function draw() {
  const stage = place();
  const picture = stage?.querySelector("img");
  if (!picture?.naturalWidth || !stage.clientWidth) return;
  const { naturalWidth: width, naturalHeight: height } = picture;
  const faces = facesOf(stage).map(({ box, color, ink, words }, id) => {
    const number = String(id + 1);
    const whole = number + " · " + words;
    return { id, box: scaled(box, width, height), color, ink, short: number, whole };
  });
  const size = letterSize(faces.map(({ box }) => (box[2] - box[0]) * (stage.clientWidth / width)));
  const look = { width, height, mirrored: false, resized: () => {}, size, always: true };
  drawFaces(stage.querySelector("canvas"), look, faces, chosen());
}

function select(index) {
  cards().forEach((card, i) => card.setAttribute("aria-pressed", i === index));
  rows().forEach((row, i) => row.classList.toggle("chosen", i === index));
  draw();
}

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
  if (event.target.closest("#photo-full")) return place().parentElement.requestFullscreen();
  const stage = event.target.closest("#photo-picture .photo-place");
  if (!stage) return;
  const boxes = facesOf(stage).map(({ box }) => scaled(box, stage.clientWidth, stage.clientHeight));
  const index = boxAt(boxes, event.offsetX, event.offsetY, REACH);
  if (index >= 0) choose(index);
});

const resized = new ResizeObserver(draw);

// A new result: its first face is chosen, and on a phone it comes into view.
function arrive() {
  const full = byId("photo-full");
  if (full) full.hidden = !document.fullscreenEnabled;
  if (!cards().length) return;
  // Picture, cards and table arrive in turns.
  setTimeout(() => {
    const stage = place();
    if (!stage) return;
    resized.disconnect();
    resized.observe(stage);
    stage.querySelector("img").addEventListener("load", draw);
    select(Math.max(0, chosen()));
  }, 200);
  if (innerWidth < NARROW) byId("photo-message")?.scrollIntoView({ block: "start" });
}

arrive();
new MutationObserver(arrive).observe(element, { childList: true, subtree: true });
