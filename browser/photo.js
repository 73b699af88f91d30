// Photo: one picture, its faces as boxes, cards, bars and rows of a table, all of which speak of the
// same face.
import { fillBars, newBars } from "../agegenderemo/web/js/bars.js";
import { say } from "../agegenderemo/web/js/said.js";
import { save, savePicture } from "../agegenderemo/web/js/save.js";
import { boxAt, drawFaces, letterSize } from "../agegenderemo/web/js/stage.js";
import { categorical, colorsOf, labelWords, spoken } from "../agegenderemo/web/js/words.js";
import { faceCards, faceTable } from "./cards.js";
import { csvText, jsonText } from "./engine/records.js";
import { progressWords } from "./device.js";
import { PictureError, decode, readSize } from "./picture.js";

const NARROW = 760; // pixels of the page, below which the result stands under what was chosen
const REACH = 16; // CSS pixels beside a face that a click may be
const NONE = "No face was found. Faces should be at least 20 pixels wide and not far turned.";

const listed = (words) => (words.length > 1 ? words.slice(0, -1).join(", ") + " and " + words.at(-1) : words[0]);

// What the ranges below the numbers mean, where there are any.
function legend(tasks, face) {
  const names = tasks.filter(({ name }) => face[name + "_interval"]).map(({ name }) => name.replaceAll("_", " "));
  if (!names.length) return "";
  return ' "Probably" means: the true ' + listed(names) + " of four in five such faces lies in that range.";
}

// Runs the page in `element`. `open` gives the device; `specs` are the tasks as the engine knows them,
// `tasks` and `plain` as `described_tasks` of assets.py has them for a page.
export function photoPage(element, { tasks, plain, specs, open }) {
  const find = (id) => element.querySelector("#" + id);
  const message = find("photo-message");
  const results = find("photo-results");
  const frame = find("photo-frame");
  const place = frame.querySelector(".photo-place");
  let picture = place.querySelector("img");
  const overlay = place.querySelector("canvas");
  const cards = find("photo-cards");
  const table = find("photo-table");
  const bars = find("photo-bars");
  const input = find("photo-input");
  const drop = find("photo-drop");
  const numbersOf = (face) => Object.fromEntries(tasks.map(({ name }) => [name, face[name]]));

  let run = 0; // grows with every picture: an older one sees it and ends
  let reading = Promise.resolve(); // what the networks are at
  let shown = null; // the record of a picture
  let chosen = 0;

  bars.append(find("photo-bars-title"), ...categorical(tasks).map(newBars));
  bars.hidden = !categorical(tasks).length;

  function tell(text, kind = "quiet") {
    message.className = "note " + kind;
    message.textContent = text;
  }

  async function read(file) {
    const mine = ++run;
    const name = file.name || "picture.png"; // one that was pasted
    tell("Reading " + name + "…");
    frame.classList.add("old");
    try {
      const pixels = await decode(file);
      const device = await open((far) => mine === run && tell(progressWords(far)));
      await reading; // of those that are chosen meanwhile only the last is read
      if (mine !== run) return;
      tell("Reading " + name + "…");
      const answer = device.readPhoto(name, pixels);
      reading = answer.catch(() => {});
      const record = await answer;
      const next = await drawable(file);
      if (mine === run) show(next, record);
      else URL.revokeObjectURL(next.src);
    } catch (error) {
      if (mine !== run) return;
      // What was read before stays.
      frame.classList.remove("old");
      tell(error instanceof PictureError ? error.message : "The picture was not read: " + error.message, "bad");
    }
  }

  async function drawable(file) {
    const image = new Image();
    image.alt = picture.alt;
    image.src = URL.createObjectURL(file);
    await image.decode().catch(() => {});
    return image;
  }

  function show(next, record) {
    URL.revokeObjectURL(picture.src);
    picture.replaceWith(next);
    picture = next;
    frame.classList.remove("old");
    frame.hidden = false;
    shown = record;
    const { width, height, faces } = record;
    place.style.setProperty("--wide", width / height);
    results.hidden = !faces.length;
    if (!faces.length) {
      tell(NONE);
    } else {
      const count = faces.length === 1 ? "1 face." : faces.length + " faces, the largest first.";
      tell(count + legend(tasks, faces[0]));
      say(spoken(faces.map((face) => labelWords(tasks, face, numbersOf(face)))));
      cards.replaceChildren(...faceCards(picture, facesAt(picture.naturalWidth, picture.naturalHeight), tasks));
      table.replaceChildren(...faceTable(faces, tasks));
    }
    choose(0);
    if (innerWidth < NARROW) message.scrollIntoView({ block: "start" });
  }

  // The faces with boxes in pixels of the picture at a size.
  function facesAt(width, height) {
    const [x, y] = [width / shown.width, height / shown.height];
    return shown.faces.map((face) => {
      const [x1, y1, x2, y2] = face.box;
      return { ...face, box: [x1 * x, y1 * y, x2 * x, y2 * y] };
    });
  }

  function draw() {
    if (!shown || !place.clientWidth) return;
    const { width, height } = readSize(shown.width, shown.height);
    const faces = facesAt(width, height).map((face, id) => {
      const short = String(id + 1);
      const whole = short + " · " + labelWords(tasks, face, numbersOf(face));
      return { id, box: face.box, ...colorsOf(tasks, plain, face), short, whole };
    });
    const size = letterSize(faces.map(({ box }) => (box[2] - box[0]) * (place.clientWidth / width)));
    drawFaces(overlay, { width, height, mirrored: false, resized: () => {}, size, always: true }, faces, chosen);
  }

  function choose(index) {
    chosen = index;
    [...cards.children].forEach((card, i) => card.setAttribute("aria-pressed", i === index));
    table.querySelectorAll("tbody tr").forEach((row, i) => row.classList.toggle("chosen", i === index));
    cards.children[index]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const face = shown.faces[index];
    if (face) {
      const what = categorical(tasks).map(({ several }) => several.toLowerCase());
      find("photo-bars-title").textContent = "Face " + (index + 1) + ": " + listed(what);
      fillBars(bars, tasks, face);
    }
    draw();
  }

  const stem = () => shown.file.replace(/\.[^.]*$/, "");
  const keep = (text, type, suffix) => save(new Blob([text], { type }), stem() + suffix);

  cards.addEventListener("click", (event) => {
    const card = event.target.closest(".face-card");
    if (card) choose(Number(card.dataset.face));
  });
  table.addEventListener("click", (event) => {
    const row = event.target.closest("tbody tr");
    if (row) choose([...row.parentElement.children].indexOf(row));
  });
  overlay.addEventListener("click", (event) => {
    const scale = place.clientWidth / shown.width;
    const boxes = shown.faces.map(({ box }) => box.map((value) => value * scale));
    const index = boxAt(boxes, event.offsetX, event.offsetY, REACH);
    if (index >= 0) choose(index);
  });
  new ResizeObserver(draw).observe(place);

  find("photo-json").addEventListener("click", () => keep(jsonText(shown, specs), "application/json", ".json"));
  find("photo-csv").addEventListener("click", () => keep(csvText([shown], specs), "text/csv", ".csv"));
  find("photo-save").addEventListener("click", () => savePicture(picture, overlay, false));

  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // the same one may be chosen again
    if (file) read(file);
  });
  for (const kind of ["dragover", "drop"]) {
    // Wherever a file is dropped: it must not take the page's place.
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) drop.classList.remove("over"); // out of the window
  });
  document.addEventListener("drop", ({ dataTransfer }) => {
    give(dataTransfer.files, "What you dropped is no picture. Drop the file of a picture here.");
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) event.preventDefault();
    give(event.clipboardData.files, "What you pasted is no picture. Copy a picture, then paste it here.");
  });
  for (const button of element.querySelectorAll("[data-example]")) {
    button.addEventListener("click", () => readExample(button.dataset.example));
  }

  async function readExample(address) {
    const mine = ++run;
    const response = await fetch(address).catch(() => null);
    const content = response?.ok ? await response.blob().catch(() => null) : null;
    if (mine !== run) return;
    if (!content) return tell("The example cannot be loaded: there is no connection.", "bad");
    read(new File([content], address.split("/").pop().replace(/-[0-9a-f]+(?=\.\w+$)/, "")));
  }

  // A picture that was dropped or pasted, wherever that was.
  function give(files, nothing) {
    const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
    if (!file) return say(nothing, true);
    element.dispatchEvent(new CustomEvent("wanted"));
    read(file);
  }
}
