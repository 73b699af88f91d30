// The Many page: reads the file of a run as it grows, and shows it. See many.py for its lines.
import { say } from "./said.js";
import { sorted, tallies } from "./tally.js";

const KEY = "agegenderemo-run:" + location.pathname; // in this tab's sessionStorage: the path of the run's file
const LOOK = 500; // milliseconds
const MOST_ROWS = 2000; // that the page shows; the downloads have all

const board = element.querySelector(".many");
const { tasks } = JSON.parse(decodeURIComponent(board.dataset.tasks));
const cancel = element.querySelector("#batch-cancel");
const find = (name) => element.querySelector("#many-" + name);
const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

let run = null; // {path, offset, total, pictures, rows, faces, sort, timer}

const fileAddress = (path) => "gradio_api/file=" + path.split("/").map(encodeURIComponent).join("/");

function write(text, kind) {
  const message = find("message");
  message.className = "note " + kind;
  message.textContent = text;
}

// What is read out as well: not every picture that is read.
function tell(text, kind) {
  write(text, kind);
  say(text);
}

function setState(state) {
  board.dataset.state = state;
  document.body.dataset.batch = state;
  const running = state === "running";
  find("progress").hidden = !running;
  // Where one button takes the place of the other, it takes the focus too.
  const start = document.querySelector("#batch-start");
  const [from, to] = running ? [start, cancel] : [cancel, start];
  const focused = from === document.activeElement;
  cancel.hidden = !running;
  cancel.textContent = "Cancel";
  if (focused) to?.focus({ preventScroll: true });
}

// ---------------------------------------------------------------- rows

const TITLES = ["Picture", "Name", "Face", ...tasks.map(({ title }) => title), "Detector", "Notes"];
const FIRST = 3; // columns before those of the tasks

function valueOf(row, column) {
  if (column === 1) return row.file;
  if (column === 2) return row.number;
  return row.face?.cells[column - FIRST]?.value;
}

function drawHead() {
  const cells = TITLES.map((title, column) => {
    const cell = make("th", { scope: "col" });
    if (column === 0) {
      cell.append(title);
      return cell;
    }
    const current = run?.sort?.column === column ? run.sort.direction : 0;
    cell.setAttribute("aria-sort", ["descending", "none", "ascending"][current + 1]);
    const button = make("button", { type: "button", className: "sort", textContent: title });
    button.addEventListener("click", () => sortBy(column));
    cell.append(button);
    return cell;
  });
  find("table").tHead.replaceChildren(make("tr", {}, ...cells));
}

function rowElement(row) {
  const picture = make("td");
  if (row.crop) {
    const size = { width: 48, height: 48, loading: "lazy" };
    picture.append(make("img", { src: row.crop, alt: "", className: "many-crop", ...size }));
  }
  const name = make("th", { scope: "row", textContent: row.file });
  if (!row.face) {
    const text = row.error ?? "No face was found.";
    const said = make("td", { colSpan: TITLES.length - 2, textContent: text });
    return make("tr", { className: row.error ? "row-bad" : "row-none" }, picture, name, said);
  }
  const cells = row.face.cells.map(({ html }) => make("td", { innerHTML: html }));
  return make("tr", {}, picture, name, make("td", { textContent: row.number }), ...cells);
}

function rowsOf({ file, error, crops = [], faces = [] }) {
  if (!faces.length) return [{ file, error, crop: crops[0] }];
  return faces.map((face, index) => ({ file, face, number: index + 1, crop: crops[index] }));
}

function drawRows(rows, anew) {
  const body = find("table").tBodies[0];
  if (anew) body.replaceChildren();
  body.append(...rows.slice(0, Math.max(0, MOST_ROWS - body.rows.length)).map(rowElement));
  const cut = run.rows.length > MOST_ROWS;
  find("cut").hidden = !cut;
  if (cut) find("cut").textContent = "The table shows " + MOST_ROWS + " of " + run.rows.length + " rows; the files have all.";
}

function sortBy(column) {
  const same = run.sort?.column === column;
  run.sort = { column, direction: same ? -run.sort.direction : 1 };
  drawHead();
  drawRows(ordered(), true);
  find("table").tHead.rows[0].cells[column].firstElementChild.focus();
}

const ordered = () =>
  run.sort ? sorted(run.rows, (row) => valueOf(row, run.sort.column), run.sort.direction) : run.rows;

// ---------------------------------------------------------------- summary

function drawTallies() {
  const made = tallies(tasks, run.faces).map(({ title, groups }) => {
    const most = Math.max(...groups.map(({ count }) => count));
    const bars = groups.map(({ name, color, count }) => {
      const fill = make("span", { className: "tally-fill" });
      fill.style.width = (100 * count) / most + "%";
      if (color) fill.style.backgroundColor = color;
      const track = make("span", { className: "tally-track" }, fill);
      track.setAttribute("aria-hidden", "true");
      const count_ = make("span", { className: "tally-count", textContent: count });
      return make("li", {}, make("span", { textContent: name }), track, count_);
    });
    return make("section", {}, make("h2", { textContent: title }), make("ul", {}, ...bars));
  });
  find("tallies").replaceChildren(...made);
}

function drawDownloads(downloads) {
  const links = Object.entries(downloads).map(([name, path]) =>
    make("a", { className: "button", href: fileAddress(path), download: "", textContent: "Download " + name, id: "batch-" + name.toLowerCase() }),
  );
  find("downloads").replaceChildren(...links);
}

// ---------------------------------------------------------------- the file of a run

function take(line) {
  if ("total" in line) {
    run.total = line.total;
  } else if (line.end) {
    run.ended = true;
    tell(line.message, "quiet");
    drawDownloads(line.downloads);
  } else {
    const rows = rowsOf(line);
    run.pictures += 1;
    run.rows.push(...rows);
    run.faces.push(...rows.filter(({ face }) => face).map(({ face }) => face));
    return rows;
  }
  return [];
}

// What was written since the last look. From one byte before: a range may not be empty.
async function news(of) {
  const from = Math.max(0, of.offset - 1);
  const answer = await fetch(fileAddress(of.path), { headers: { Range: "bytes=" + from + "-" } });
  if (!answer.ok) throw Object.assign(new Error(), { gone: answer.status === 404 });
  const bytes = new Uint8Array(await answer.arrayBuffer()).subarray(of.offset - from);
  const end = bytes.lastIndexOf(10) + 1;
  of.offset += end;
  return new TextDecoder().decode(bytes.subarray(0, end)).split("\n").filter(Boolean).map(JSON.parse);
}

async function look(of) {
  try {
    const lines = await news(of);
    if (of !== run) return; // other files were chosen meanwhile
    const rows = lines.flatMap(take);
    if (lines.length) {
      find("results").hidden = !run.rows.length;
      drawRows(run.sort ? ordered() : rows, Boolean(run.sort));
      drawTallies();
    }
    if (run.ended) return setState("done");
    const progress = find("progress");
    progress.max = run.total;
    progress.value = run.pictures;
    write(run.pictures + " of " + run.total + " pictures read.", "quiet");
  } catch (error) {
    if (of !== run) return;
    if (error.gone) {
      forget();
      return tell("The results are deleted; choose the pictures again.", "quiet");
    }
  }
  of.timer = setTimeout(look, LOOK, of);
}

function forget() {
  clearTimeout(run?.timer);
  if (run && !run.ended) stop(run.path);
  run = null;
  sessionStorage.removeItem(KEY);
  find("table").tBodies[0].replaceChildren();
  find("downloads").replaceChildren();
  find("results").hidden = true;
  setState("empty");
}

function show(path) {
  clearTimeout(run?.timer);
  forget();
  run = { path, offset: 0, total: 0, pictures: 0, rows: [], faces: [] };
  sessionStorage.setItem(KEY, path);
  setState("running");
  tell("Reading…", "quiet");
  drawHead();
  look(run);
}

// The server ends a run after the picture that it is at; where it is too busy to listen, ask again.
async function stop(path) {
  const answer = await server.cancel_run(path).catch(() => ({ busy: true }));
  if (answer?.busy) setTimeout(stop, LOOK, path);
}

// ---------------------------------------------------------------- what happens

cancel.addEventListener("click", () => {
  cancel.textContent = "Cancelling…";
  stop(run.path);
});

const place = document.querySelector("#batch-run");
let last = "";
new MutationObserver(() => {
  const { path, chosen, nothing } = place.querySelector("span")?.dataset ?? {};
  const now = path ?? chosen ?? nothing;
  if (!now || now === last) return; // gradio empties the place where a run is cancelled
  last = now;
  if (path) return show(path);
  forget(); // what was shown belongs to other files
  if (nothing) return tell(board.dataset.hint, "bad");
  tell(chosen && document.querySelector("#batch-input .file-preview") ? "Press Analyze." : board.dataset.hint, "hint");
}).observe(place, { childList: true, subtree: true, attributes: true });

board.dataset.hint = find("message").textContent;
const kept = sessionStorage.getItem(KEY);
if (kept) show(kept);
else setState("empty");
