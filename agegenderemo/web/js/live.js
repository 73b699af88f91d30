// Live page. gr.HTML runs this once with `element` (its root) and `server` (Python functions),
// joined with the modules that it imports.
import { fillCard, fillPicture, newCard } from "./bars.js";
import {
  NO_CAMERA_HERE,
  cameraTrouble,
  chosenCamera,
  closeCamera,
  frameSize,
  grab,
  hasCameras,
  listCameras,
  newFrameCanvas,
  openCamera,
  rememberCamera,
  watchVideo,
} from "./camera.js";
import { Line, sleep } from "./line.js";
import { Recording } from "./record.js";
import { Pasts, RIBBON_SECONDS } from "./ribbon.js";
import { Arrivals, say } from "./said.js";
import { saveFiles, saveJson, savePicture } from "./save.js";
import { boxAt, drawFaces, onStage } from "./stage.js";
import { categorical, colorsOf, labelWords, leadWords, settled, spoken } from "./words.js";

const RETRY_DELAY = 1000; // ms between attempts while the server is gone
const MAX_CARDS = 8;
const BEHIND = 1000; // ms of a round trip from which it is said
const SIZED_EVERY = 3; // replies between two looks at the size of what is sent
const NO_FACE_AFTER = 5; // empty replies in a row before saying so
const REACH = 12; // CSS pixels beside a face that a click may be

const find = (id) => element.querySelector("#" + id);
const root = find("live");
const video = find("live-video");
const overlay = find("live-overlay");
const message = find("live-message");
const status = find("live-status");
const toggle = find("live-toggle");
const mirror = find("live-mirror");
const cameras = find("live-camera");
const freezer = find("live-freeze");
const recorder = find("live-record");
const flipper = find("live-flip");
const stage = toggle.parentElement;
const controls = mirror.closest(".live-controls");
const savers = [find("live-save-picture"), find("live-save-json")];
const list = find("live-faces");
const template = find("live-card");
const emptyHint = list.querySelector(".live-empty");
const { tasks, plain } = JSON.parse(decodeURIComponent(root.dataset.tasks));
const pasts = new Pasts(categorical(tasks)[0]);
let frame = newFrameCanvas(); // the picture whose answer is shown
const spare = []; // canvases for those that are sent next

let viewer = ""; // our name, a new one for every start
let stream = null;
let run = 0; // grows with every start and stop: an older loop sees it and ends
let slots = []; // {id, face, numbers, card}: a face keeps its slot, the largest have cards
let selected = null; // id of a slot
let frozen = false;
let last = null; // the reply that is shown
let frames = 0;
let emptyReplies = 0;
let interval = 0; // ms between two replies, the running mean
let line = new Line();
let lastReply = 0;
let size = 0; // of the frames that are sent, see frameSize
let resting = false; // stopped for nobody sees the page
let facing = null; // where the camera looks, if it says so
let recording = null;
let arrivals = new Arrivals();

function setState(state, text) {
  root.dataset.state = state;
  // A button on the stage would cover faces.
  const place = state === "running" || state === "gone" ? controls : stage;
  if (toggle.parentElement !== place) {
    const focused = document.activeElement === toggle;
    if (place === controls) place.prepend(toggle);
    else place.append(toggle);
    if (focused) toggle.focus({ preventScroll: true });
  }
  if (message.textContent !== text) message.textContent = text; // screen readers say it once
  message.hidden = !text;
}

// ---------------------------------------------------------------- start and stop

async function start(choice = chosenCamera()) {
  stop();
  const mine = ++run;
  viewer = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16)).join("-");
  toggle.textContent = "Cancel";
  setState("starting", "Waiting for the camera…");
  if (!hasCameras()) return fail(NO_CAMERA_HERE);
  try {
    const opened = await openCamera(choice).catch((error) => {
      // The chosen one is not here today: any will do.
      if (error.name !== "OverconstrainedError" || !choice.id) throw error;
      return openCamera();
    });
    if (mine !== run) return closeCamera(opened);
    stream = opened;
    const track = stream.getVideoTracks()[0];
    track.onended = () => mine === run && fail("The camera was disconnected. Connect it, then start again.");
    video.srcObject = stream;
    await video.play();
    const { deviceId, facingMode } = track.getSettings();
    await listCameras(cameras, deviceId);
    facing = facingMode ?? null;
    // Phones have cameras in front and behind; others are chosen by name.
    flipper.hidden = !facing || cameras.hidden;
    cameras.hidden ||= !flipper.hidden;
    setMirror(facing !== "environment");
  } catch (error) {
    if (mine === run) fail(cameraTrouble(error));
    return;
  }
  if (mine !== run) return;
  toggle.textContent = "Stop camera";
  setState("running", "Looking for faces…");
  readFrames(mine);
  look();
}

function stop() {
  run += 1;
  resting = false;
  record(false);
  closeCamera(stream);
  video.srcObject = null;
  if (stream) leave();
  stream = null;
  interval = lastReply = emptyReplies = size = 0;
  line = new Line();
  toggle.textContent = "Start camera";
  status.textContent = "";
  freeze(false);
  pasts.clear();
  arrivals = new Arrivals();
  setState("idle", "The camera is off.");
  showFaces([]);
  overlay.width = 0; // clears it
}

// A camera that nobody looks at is off: in another tab of the page, or of the browser.
function look() {
  const seen = !document.hidden && root.getClientRects().length > 0;
  if (seen && resting) start();
  if (seen || !stream) return;
  stop();
  resting = true;
  setState("idle", "The camera rests while this page is hidden.");
}

// Tell the server that we left. A closing page cancels what gradio sends for us, but not a beacon.
function leave() {
  const { root, api_prefix, components } = window.gradio_config ?? {};
  const page = components?.find(({ props }) => props.elem_id === "live-page");
  if (!page) return server.read_frame({ viewer }).catch(() => {});
  const call = { component_id: page.id, fn_name: "read_frame", session_hash: "live", data: { viewer } };
  const body = new Blob([JSON.stringify(call)], { type: "application/json" });
  navigator.sendBeacon(root + api_prefix + "/component_server/", body);
}

function fail(sentence) {
  stop();
  setState("error", sentence);
}

// ---------------------------------------------------------------- frames

async function readFrames(mine) {
  watchVideo(video, () => {
    if (mine !== run) return false;
    line.arrived();
  });
  let rest = 0; // until when nothing is sent
  let latest = 0; // number of the picture that was answered last
  for (let number = 1; mine === run; number++) {
    await line.turn();
    if (mine !== run) return;
    if (!element.isConnected) return stop();
    const left = rest - performance.now();
    if (frozen || !video.videoWidth || left > 0) {
      await sleep(Math.max(100, left));
      continue;
    }
    const picture = spare.pop() ?? newFrameCanvas();
    const data = grab(video, picture, size);
    line.send(() => server.read_frame({ viewer, frame: data })).then(([reply, spent]) => {
      // Answers may overtake one another on the line.
      if (mine !== run || number < latest || reply === null) return spare.push(picture);
      latest = number;
      if (reply && !reply.error) {
        spare.push(frame);
        frame = picture;
        return accept(reply, spent);
      }
      spare.push(picture);
      rest = reply ? refused(reply.error) : gone();
    });
  }
}

function gone() {
  lastReply = 0;
  status.textContent = "Not connected";
  setState("gone", "The server does not answer. Trying again every second…");
  return performance.now() + RETRY_DELAY;
}

function refused(sentence) {
  setState("running", sentence);
  return performance.now() + RETRY_DELAY / 2;
}

function accept(reply, spent) {
  const now = performance.now();
  const between = now - lastReply;
  if (lastReply) interval = interval ? 0.9 * interval + 0.1 * between : between;
  lastReply = now;
  frames += 1;
  if (frames % SIZED_EVERY === 0) size = frameSize(size, line.roundTrip);
  recording?.add(reply.faces, now);
  emptyReplies = reply.faces.length ? 0 : emptyReplies + 1;
  setState(
    "running",
    emptyReplies >= NO_FACE_AFTER ? "No face is seen. Look at the camera, in good light." : "",
  );
  last = reply;
  freezer.hidden = recorder.hidden = false;
  showFaces(reply.faces);
  const known = slots.filter(({ face }) => face.settled !== false);
  if (arrivals.news(known.map(({ face }) => face), now)) say(spoken(known.map(wholeLabel)));
  if (pasts.remember(reply.faces, now)) drawRibbon();
  draw(reply.width, reply.height);
  root.dataset.frames = frames;
  if (interval) {
    const count = slots.length === 1 ? "1 face" : slots.length + " faces";
    const rate = (1000 / interval).toFixed(0) + " frames a second";
    const late = spent > BEHIND ? " · " + (spent / 1000).toFixed(0) + " s behind" : "";
    status.textContent = rate + " · " + line.roundTrip.toFixed(0) + " ms round trip" + late + " · " + count;
  }
}

// ---------------------------------------------------------------- faces

const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);

// The server says who is who: a face keeps its card, and a selection stays with it.
function showFaces(faces) {
  const old = new Map(slots.map((slot) => [slot.id, slot]));
  const largest = [...faces].sort((a, b) => area(b) - area(a)).slice(0, MAX_CARDS);
  const carded = new Set([selected, ...largest.map((face) => face.track_id)]);
  slots = faces.map((face) => {
    const id = face.track_id;
    const slot = old.get(id) ?? { id, card: null, numbers: {} };
    old.delete(id);
    slot.face = face;
    if (carded.has(id)) slot.card ??= addCard(id);
    else slot.card = slot.card?.remove() ?? null;
    for (const task of tasks.filter(({ kind }) => kind === "regression")) {
      slot.numbers[task.name] = settled(task, face[task.name], slot.numbers[task.name]);
    }
    return slot;
  });
  old.forEach((slot) => slot.card?.remove());
  if (!slots.some((slot) => slot.id === selected)) selected = largest[0]?.track_id ?? null;
  emptyHint.hidden = slots.length > 0;
  slots.forEach(fill);
}

function addCard(id) {
  const card = newCard(template, tasks, RIBBON_SECONDS);
  card.dataset.face = id;
  list.append(card);
  return card;
}

function fill({ id, card, face, numbers }) {
  if (!card) return;
  fillCard(card, tasks, face, numbers, id === selected);
  fillPicture(card, face, frame, mirror.checked, lastReply);
}

function select(id) {
  selected = id;
  const slot = slots.find((one) => one.id === id);
  if (slot) slot.card ??= addCard(id);
  slots.forEach(fill);
  drawRibbon();
}

function drawRibbon() {
  const slot = slots.find(({ id }) => id === selected);
  pasts.draw(slot?.card.querySelector(".live-ribbon"), selected);
}

const wholeLabel = ({ face, numbers }) => labelWords(tasks, face, numbers);

function draw(width, height) {
  const resized = () => root.style.setProperty("--stage-ratio", width + " / " + height);
  const faces = slots.map((slot) => ({
    id: slot.id,
    box: slot.face.box,
    ...colorsOf(tasks, plain, slot.face),
    short: leadWords(tasks, slot.face, slot.numbers),
    whole: wholeLabel(slot),
  }));
  drawFaces(overlay, { width, height, mirrored: mirror.checked, resized }, faces, selected);
}

function freeze(wanted) {
  frozen = wanted;
  freezer.textContent = frozen ? "Go on" : "Freeze";
  freezer.setAttribute("aria-pressed", frozen);
  freezer.hidden = recorder.hidden = !stream;
  savers.forEach((button) => (button.hidden = !frozen));
  if (!stream) return;
  if (frozen) video.pause();
  else video.play();
}

function choose(choice) {
  rememberCamera(choice);
  start(choice);
}

function setMirror(wanted) {
  mirror.checked = wanted;
  video.classList.toggle("mirrored", wanted);
}

async function record(wanted) {
  if (wanted === Boolean(recording)) return;
  recorder.textContent = wanted ? "Stop recording" : "Record";
  recorder.setAttribute("aria-pressed", wanted);
  const ended = recording;
  recording = wanted ? new Recording(stream, performance.now(), () => record(false)) : null;
  if (ended) saveFiles(await ended.end(tasks));
}

// ---------------------------------------------------------------- events

toggle.addEventListener("click", () => (stream || root.dataset.state === "starting" ? stop() : start()));
cameras.addEventListener("change", () => choose({ id: cameras.value }));
flipper.addEventListener("click", () => choose({ facing: facing === "environment" ? "user" : "environment" }));
recorder.addEventListener("click", () => record(!recording));
document.addEventListener("visibilitychange", look);
new ResizeObserver(look).observe(root); // its size is none while another tab of the page is open
window.addEventListener("pagehide", stop);
// A page that goes can save no film: the browser asks whether to go.
window.addEventListener("beforeunload", (event) => recording && event.preventDefault());
freezer.addEventListener("click", () => freeze(!frozen));
savers[0].addEventListener("click", () => savePicture(frame, overlay, mirror.checked));
savers[1].addEventListener("click", () => saveJson(last));
mirror.addEventListener("change", () => {
  setMirror(mirror.checked);
  if (overlay.width) draw(frame.width, frame.height);
});
list.addEventListener("click", (event) => {
  const card = event.target.closest(".live-card");
  if (card) select(Number(card.dataset.face));
});
list.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.target.click();
});
overlay.addEventListener("click", (event) => {
  const scale = frame.width / overlay.clientWidth;
  const boxes = slots.map((slot) => onStage(slot.face.box, frame.width, mirror.checked));
  const hit = slots[boxAt(boxes, event.offsetX * scale, event.offsetY * scale, REACH * scale)];
  if (hit) select(hit.id);
});
