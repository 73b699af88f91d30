// Live: the camera, its frames on their way to whoever reads them, and what comes back.
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
import { People } from "./people.js";
import { Recording } from "./record.js";
import { Arrivals, say } from "./said.js";
import { saveFiles, saveJson, savePicture } from "./save.js";
import { spoken } from "./words.js";

const RETRY_DELAY = 1000; // ms between attempts while nobody answers
const BEHIND = 1000; // ms of a round trip from which it is said
const SIZED_EVERY = 3; // replies between two looks at the size of what is sent
const NO_FACE_AFTER = 5; // empty replies in a row before saying so

// Runs the page in `element`. `source` reads the frames; one is chosen anew by `choose(local)`, which
// is there where frames can be read on this device as well.
export function livePage(element, source, choose = null) {
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
  const local = find("live-local");
  const stage = toggle.parentElement;
  const controls = mirror.closest(".live-controls");
  const savers = [find("live-save-picture"), find("live-save-json")];
  const list = find("live-faces");
  const { tasks, plain } = JSON.parse(decodeURIComponent(root.dataset.tasks));
  const people = new People({ list, template: find("live-card"), tasks, plain });
  const spare = []; // canvases for the frames that are sent next
  let frame = newFrameCanvas(); // the picture whose answer is shown

  let stream = null;
  let run = 0; // grows with every start and stop: an older loop sees it and ends
  let frozen = false;
  let last = null; // the reply that is shown
  let frames = 0;
  let emptyReplies = 0;
  let interval = 0; // ms between two replies, the running mean
  let line = new Line(source.paired);
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
    toggle.textContent = "Cancel";
    setState("starting", "Waiting for the camera…");
    if (!hasCameras()) return fail(NO_CAMERA_HERE);
    // The networks come while the camera is asked for.
    const opening = source.open((words) => mine === run && stream && setState("starting", words));
    opening.catch(() => {});
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
    try {
      await opening;
    } catch (error) {
      if (mine === run) fail(error.message);
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
    if (stream) source.leave();
    stream = null;
    interval = lastReply = emptyReplies = size = 0;
    line = new Line(source.paired);
    toggle.textContent = "Start camera";
    status.textContent = "";
    freeze(false);
    people.clear();
    arrivals = new Arrivals();
    setState("idle", "The camera is off." + source.idle);
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
      await grab(video, picture, size);
      if (mine !== run) return;
      line.send(() => source.read(picture, size)).then(([reply, spent]) => {
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
    setState("gone", source.gone);
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
    if (source.sized && frames % SIZED_EVERY === 0) size = frameSize(size, line.roundTrip);
    recording?.add(reply.faces, now);
    emptyReplies = reply.faces.length ? 0 : emptyReplies + 1;
    setState(
      "running",
      emptyReplies >= NO_FACE_AFTER ? "No face is seen. Look at the camera, in good light." : "",
    );
    last = reply;
    freezer.hidden = recorder.hidden = false;
    people.show(reply.faces, { frame, mirrored: mirror.checked, now });
    const known = people.settled();
    if (arrivals.news(known.map(({ face }) => face), now)) {
      say(spoken(known.map((slot) => people.label(slot))));
    }
    draw(reply.width, reply.height);
    root.dataset.frames = frames;
    if (interval) {
      const count = reply.faces.length === 1 ? "1 face" : reply.faces.length + " faces";
      const rate = (1000 / interval).toFixed(0) + " frames a second";
      const late = spent > BEHIND ? " · " + (spent / 1000).toFixed(0) + " s behind" : "";
      status.textContent = rate + " · " + line.roundTrip.toFixed(0) + " ms round trip" + late + " · " + count;
    }
  }

  function draw(width, height) {
    const resized = () => root.style.setProperty("--stage-ratio", width + " / " + height);
    people.draw(overlay, { width, height, mirrored: mirror.checked, resized });
  }

  // ---------------------------------------------------------------- controls

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

  function take(choice) {
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

  toggle.addEventListener("click", () => (stream || root.dataset.state === "starting" ? stop() : start()));
  cameras.addEventListener("change", () => take({ id: cameras.value }));
  flipper.addEventListener("click", () => take({ facing: facing === "environment" ? "user" : "environment" }));
  recorder.addEventListener("click", () => record(!recording));
  local?.addEventListener("change", () => {
    const running = Boolean(stream) || root.dataset.state === "starting";
    stop(); // by the old source
    source = choose(local.checked);
    line = new Line(source.paired);
    if (running) start();
    else setState("idle", "The camera is off." + source.idle);
  });
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
    if (card) people.select(Number(card.dataset.face));
  });
  list.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.target.click();
  });
  overlay.addEventListener("click", (event) => {
    const scale = frame.width / overlay.clientWidth;
    const hit = people.at(event.offsetX, event.offsetY, scale, frame.width, mirror.checked);
    if (hit) people.select(hit.id);
  });
}
