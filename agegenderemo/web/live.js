// Live page. gr.HTML runs this once with `element` (its root) and `server` (Python functions).

const MAX_WIDTH = 640; // pixels sent; the camera is asked for the same
const JPEG_QUALITY = 0.8;
const FRAME_TIME = 34; // ms between two pictures of the camera
const REPLY_TIMEOUT = 10000; // ms
const RETRY_DELAY = 1000; // ms between attempts while the server is gone
const MAX_CARDS = 8;
const RIBBON_SECONDS = 30;
const RIBBON_STEP = 250; // ms a column
const AGE_STICKS = 0.7; // years that an age moves before another whole number is shown
const NO_FACE_AFTER = 5; // empty replies in a row before saying so

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
const savers = [find("live-save-picture"), find("live-save-json")];
const list = find("live-faces");
const template = find("live-card");
const emptyHint = list.querySelector(".live-empty");
let frame = newFrameCanvas(); // the picture that was sent last
let nextFrame = newFrameCanvas(); // the one that is sent next

let viewer = ""; // our name, a new one for every start
let stream = null;
let run = 0; // grows with every start and stop: an older loop sees it and ends
let slots = []; // {id, face, card}: a face keeps its slot from frame to frame
let selected = null; // id of a slot
let frozen = false;
let last = null; // the reply that is shown
const pasts = new Map(); // person -> [{time, emotions}] of the last thirty seconds
let frames = 0;
let emptyReplies = 0;
let interval = 0; // ms, running means
let roundTrip = 0;
let lastReply = 0;

const percent = (value) => (100 * value).toFixed(0) + " %";
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function setState(state, text) {
  root.dataset.state = state;
  if (message.textContent !== text) message.textContent = text; // screen readers say it once
  message.hidden = !text;
}

// ---------------------------------------------------------------- camera

const HINTS = {
  small: "Move closer.",
  blurred: "Hold still, or wipe the lens.",
  dark: "More light would help.",
  turned: "Look at the camera.",
  "cut off": "Move into the picture.",
};
const CAMERA_ERRORS = {
  NotAllowedError:
    "The browser was not allowed to use the camera. Allow it beside the address bar, then start again.",
  NotFoundError: "No camera was found. Connect one, then start again.",
  OverconstrainedError: "That camera is gone. Choose another one, then start again.",
  NotReadableError: "The camera is in use by another program. Close it there, then start again.",
};
CAMERA_ERRORS.SecurityError = CAMERA_ERRORS.NotAllowedError;
CAMERA_ERRORS.AbortError = CAMERA_ERRORS.NotReadableError;

async function start() {
  stop();
  const mine = ++run;
  viewer = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16)).join("-");
  toggle.textContent = "Stop camera";
  setState("starting", "Waiting for the camera…");
  if (!navigator.mediaDevices?.getUserMedia) {
    return fail("Browsers give the camera only to pages on https or localhost: open this page there.");
  }
  const wish = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  if (cameras.value) wish.deviceId = { exact: cameras.value };
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
    if (mine !== run) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    const track = stream.getVideoTracks()[0];
    track.onended = () => mine === run && fail("The camera was disconnected. Connect it, then start again.");
    video.srcObject = stream;
    await video.play();
    await listCameras(track.getSettings().deviceId);
  } catch (error) {
    if (mine === run) fail(CAMERA_ERRORS[error.name] ?? "The camera could not be opened: " + error.message + ".");
    return;
  }
  if (mine !== run) return;
  setState("running", "Looking for faces…");
  readFrames(mine);
}

function stop() {
  run += 1;
  stream?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  if (stream) leave();
  stream = null;
  interval = roundTrip = lastReply = emptyReplies = 0;
  toggle.textContent = "Start camera";
  status.textContent = "Frames are read in memory and never kept.";
  freeze(false);
  pasts.clear();
  setState("idle", "The camera is off.");
  showFaces([]);
  overlay.width = 0; // clears it
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

async function listCameras(current) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const found = devices.filter((device) => device.kind === "videoinput");
  cameras.replaceChildren(
    ...found.map((device, i) => new Option(device.label || "Camera " + (i + 1), device.deviceId)),
  );
  cameras.value = current ?? "";
  cameras.hidden = found.length < 2;
}

// ---------------------------------------------------------------- frames

let fresh = false; // whether the video shows a picture that was not sent yet
let wake = null;
let sent = 0; // when the picture under way was sent; 0 when none is
let ready = ""; // the picture in nextFrame as a JPEG, or nothing

function newFrameCanvas() {
  const canvas = document.createElement("canvas");
  // It is only drawn to be read back, which is slow from a graphics card.
  canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  return canvas;
}

function watchVideo(mine) {
  const seen = () => {
    if (mine !== run) return;
    fresh = true;
    // The reply is near: encode what it will wait for.
    if (sent && performance.now() - sent > roundTrip - FRAME_TIME) ready = grab();
    wake?.();
    next();
  };
  const next = () =>
    video.requestVideoFrameCallback ? video.requestVideoFrameCallback(seen) : setTimeout(seen, 33);
  next();
}

async function newFrame() {
  if (!fresh) await new Promise((done) => (wake = done));
}

function grab() {
  const scale = Math.min(1, MAX_WIDTH / video.videoWidth);
  nextFrame.width = Math.round(video.videoWidth * scale);
  nextFrame.height = Math.round(video.videoHeight * scale);
  nextFrame.getContext("2d").drawImage(video, 0, 0, nextFrame.width, nextFrame.height);
  return nextFrame.toDataURL("image/jpeg", JPEG_QUALITY);
}

async function send() {
  const data = ready || grab();
  ready = "";
  fresh = false;
  [frame, nextFrame] = [nextFrame, frame];
  sent = performance.now();
  const reply = await Promise.race([
    Promise.resolve(server.read_frame({ viewer, frame: data })).catch(() => undefined),
    sleep(REPLY_TIMEOUT),
  ]);
  const spent = performance.now() - sent;
  sent = 0;
  return [reply, spent];
}

// One frame is under way at a time, so a slow server lowers the rate and nothing piles up.
async function readFrames(mine) {
  fresh = false;
  ready = "";
  watchVideo(mine);
  while (mine === run) {
    await newFrame();
    if (mine !== run) return;
    if (!element.isConnected) return stop();
    if (frozen || !video.offsetParent || !video.videoWidth) {
      ready = "";
      await sleep(frozen ? 100 : 200); // another tab of the page may be open
      continue;
    }
    const [reply, spent] = await send();
    if (mine !== run) return;
    if (!reply) {
      lastReply = 0;
      status.textContent = "Not connected";
      setState("gone", "The server does not answer. Trying again every second…");
      ready = "";
      await sleep(RETRY_DELAY);
    } else if (reply.error) {
      setState("running", reply.error);
      ready = "";
      await sleep(RETRY_DELAY / 2);
    } else {
      accept(reply, spent);
    }
  }
}

function accept(reply, spent) {
  const now = performance.now();
  const mean = (old, value) => (old ? 0.9 * old + 0.1 * value : value);
  roundTrip = mean(roundTrip, spent);
  if (lastReply) interval = mean(interval, now - lastReply);
  lastReply = now;
  frames += 1;
  emptyReplies = reply.faces.length ? 0 : emptyReplies + 1;
  setState(
    "running",
    emptyReplies >= NO_FACE_AFTER ? "No face is seen. Look at the camera, in good light." : "",
  );
  last = reply;
  freezer.hidden = false;
  showFaces(reply.faces);
  remember(reply.faces, now);
  draw(reply.width, reply.height);
  root.dataset.frames = frames;
  if (interval) {
    const count = slots.length === 1 ? "1 face" : slots.length + " faces";
    const rate = (1000 / interval).toFixed(0) + " frames a second";
    status.textContent = rate + " · " + roundTrip.toFixed(0) + " ms round trip · " + count;
  }
}

// ---------------------------------------------------------------- faces

// The server says who is who: a face keeps its card, and a selection stays with it.
function showFaces(faces) {
  const old = new Map(slots.map((slot) => [slot.id, slot]));
  slots = faces.slice(0, MAX_CARDS).map((face) => {
    const slot = old.get(face.person) ?? { id: face.person, card: newCard() };
    old.delete(face.person);
    slot.face = face;
    return slot;
  });
  old.forEach((slot) => slot.card.remove());
  if (!slots.some((slot) => slot.id === selected)) selected = slots[0]?.id ?? null;
  emptyHint.hidden = slots.length > 0;
  slots.forEach((slot) => fill(slot));
}

// A question mark for what is not more than a guess.
const gender = (face) => face.gender + (face.gender_sure ? "" : "?");
const emotion = (face) => face.emotion + (face.emotion_sure ? "" : "?");

function newCard() {
  const card = template.content.firstElementChild.cloneNode(true);
  list.append(card);
  return card;
}

function fill(slot) {
  const { card, face } = slot;
  card.dataset.face = slot.id;
  card.classList.toggle("selected", slot.id === selected);
  card.setAttribute("aria-pressed", slot.id === selected);
  if (!(Math.abs(face.age - slot.age) <= AGE_STICKS)) slot.age = Math.round(face.age);
  card.querySelector(".live-age").textContent = slot.age;
  card.querySelector(".live-rest").textContent =
    slot.id === selected
      ? "years · " + gender(face) + " " + percent(face.gender_probability) + " · " + emotion(face)
      : "· " + gender(face) + " · " + emotion(face);
  card.querySelector(".live-range").textContent = face.age_interval
    ? "Most such faces: " + face.age_interval.map((v) => v.toFixed(0)).join(" to ") +
      " years, ± " + face.age_error.toFixed(0)
    : "";
  card.querySelector(".live-hint").textContent = face.doubts.map((why) => HINTS[why]).join(" ");
  for (const bar of card.querySelectorAll(".bar")) {
    const value = face.emotions[bar.dataset.emotion];
    bar.dataset.value = value;
    bar.classList.toggle("top", bar.dataset.emotion === face.emotion);
    bar.querySelector(".bar-fill").style.transform = "scaleX(" + value + ")";
    bar.querySelector(".bar-value").textContent = percent(value);
  }
}

function select(id) {
  selected = id;
  slots.forEach((slot) => fill(slot));
  drawRibbon();
}

// ---------------------------------------------------------------- the last thirty seconds

function remember(faces, now) {
  let grew = false;
  for (const face of faces) {
    const past = pasts.get(face.person) ?? pasts.set(face.person, []).get(face.person);
    if (past.length && now - past.at(-1).time < RIBBON_STEP) continue;
    past.push({ time: now, emotions: face.emotions });
    grew = true;
  }
  if (!grew) return;
  for (const [person, past] of pasts) {
    while (past.length && now - past[0].time > 1000 * RIBBON_SECONDS) past.shift();
    if (!past.length) pasts.delete(person);
  }
  drawRibbon();
}

// A column a moment, the emotions stacked in it from the bottom; a gap where nobody was seen.
function drawRibbon() {
  const ribbon = slots.find((slot) => slot.id === selected)?.card.querySelector(".live-ribbon");
  const past = pasts.get(selected);
  if (!ribbon || !past?.length) return;
  const pen = ribbon.getContext("2d");
  pen.clearRect(0, 0, ribbon.width, ribbon.height);
  const now = past.at(-1).time;
  const place = (time) => ribbon.width * (1 - (now - time) / (1000 * RIBBON_SECONDS));
  for (const [i, { time, emotions }] of past.entries()) {
    // Each column reaches back to the one before it, unless nobody was seen between.
    const before = i ? past[i - 1].time : time - RIBBON_STEP;
    const x = place(time - before > 4 * RIBBON_STEP ? time - RIBBON_STEP : before);
    const column = place(time) - x;
    let bottom = ribbon.height;
    for (const [name, share] of Object.entries(emotions)) {
      pen.fillStyle = colorsOf(name).backgroundColor;
      pen.fillRect(x, bottom - share * ribbon.height, column + 0.5, share * ribbon.height);
      bottom -= share * ribbon.height;
    }
  }
}

// ---------------------------------------------------------------- freeze and save

function freeze(wanted) {
  frozen = wanted;
  freezer.textContent = frozen ? "Go on" : "Freeze";
  freezer.setAttribute("aria-pressed", frozen);
  freezer.hidden = !stream;
  savers.forEach((button) => (button.hidden = !frozen));
  if (!stream) return;
  if (frozen) video.pause();
  else video.play();
}

function save(blob, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "agegenderemo-" + new Date().toISOString().slice(0, 19).replaceAll(":", "-") + suffix;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// The frame that was read and what is drawn over it, as on the page.
function savePicture() {
  const picture = document.createElement("canvas");
  picture.width = overlay.width;
  picture.height = overlay.height;
  const pen = picture.getContext("2d");
  pen.save();
  if (mirror.checked) pen.setTransform(-1, 0, 0, 1, picture.width, 0);
  pen.drawImage(frame, 0, 0, picture.width, picture.height);
  pen.restore();
  pen.drawImage(overlay, 0, 0);
  picture.toBlob((blob) => save(blob, ".png"), "image/png");
}

function saveJson() {
  const { width, height, faces } = last;
  save(new Blob([JSON.stringify({ width, height, faces }, null, 1)], { type: "application/json" }), ".json");
}

// Colours come from the bars, so that Python's palette stays the only one.
function colorsOf(emotion) {
  return template.content.querySelector('[data-emotion="' + emotion + '"] .bar-fill').style;
}

// Corners of a box on the stage. Only x is flipped: drawn text stays readable.
function onStage(box, width) {
  return mirror.checked ? [width - box[2], box[1], width - box[0], box[3]] : box;
}

function draw(width, height) {
  const sharp = Math.max(1, Math.min(3, (overlay.clientWidth * devicePixelRatio) / width || 1));
  const [w, h] = [Math.round(width * sharp), Math.round(height * sharp)];
  if (overlay.width !== w || overlay.height !== h) {
    [overlay.width, overlay.height] = [w, h];
    root.style.setProperty("--stage-ratio", width + " / " + height);
  }
  const pen = overlay.getContext("2d");
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, width, height);
  const size = (14 * width) / (overlay.clientWidth || width); // 14 CSS pixels
  pen.font = "600 " + size + "px system-ui, sans-serif";
  pen.textBaseline = "middle";
  // The selected face comes last, on top, and alone has the whole label: a crowd stays readable.
  for (const slot of [...slots].sort((a, b) => (a.id === selected) - (b.id === selected))) {
    const { face } = slot;
    const [x1, y1, x2, y2] = onStage(face.box, width);
    const colors = colorsOf(face.emotion);
    pen.strokeStyle = pen.fillStyle = colors.backgroundColor;
    pen.lineWidth = ((slot.id === selected ? 4 : 2) * size) / 14;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const age = slot.age;
    const text = slot.id === selected ? age + " · " + gender(face) + " · " + emotion(face) : age;
    const long = pen.measureText(text).width + size;
    const high = size * 1.7;
    const x = Math.max(0, Math.min(x1 - pen.lineWidth / 2, width - long));
    const y = y1 >= high ? y1 - high : Math.min(y2, height - high);
    pen.fillRect(x, y, long, high);
    pen.fillStyle = colors.color;
    pen.fillText(text, x + size / 2, y + high / 2);
  }
}

// ---------------------------------------------------------------- events

toggle.addEventListener("click", () => (stream || root.dataset.state === "starting" ? stop() : start()));
cameras.addEventListener("change", start);
window.addEventListener("pagehide", stop);
freezer.addEventListener("click", () => freeze(!frozen));
savers[0].addEventListener("click", savePicture);
savers[1].addEventListener("click", saveJson);
mirror.addEventListener("change", () => {
  video.classList.toggle("mirrored", mirror.checked);
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
  const x = (event.offsetX / overlay.clientWidth) * frame.width;
  const y = (event.offsetY / overlay.clientHeight) * frame.height;
  const hit = slots.find((slot) => {
    const [x1, y1, x2, y2] = onStage(slot.face.box, frame.width);
    return x1 <= x && x <= x2 && y1 <= y && y <= y2;
  });
  if (hit) select(hit.id);
});
