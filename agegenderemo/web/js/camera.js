// The camera of the browser, and its pictures.

// Pixels and quality of what is sent, the best first; the camera is asked for the first.
const SIZES = [
  { width: 640, quality: 0.8 },
  { width: 480, quality: 0.7 },
  { width: 320, quality: 0.6 },
];
const SLOW = 700; // ms of a round trip, on average, after which smaller frames are sent
export const QUICK = 250; // and below which larger ones are, two at a time
const CHOSEN = "agegenderemo-camera"; // where the browser remembers which camera was chosen

const TROUBLES = {
  NotAllowedError:
    "The browser was not allowed to use the camera. Allow it beside the address bar, then start again.",
  NotFoundError: "No camera was found. Connect one, then start again.",
  OverconstrainedError: "That camera is gone. Choose another one, then start again.",
  NotReadableError: "The camera is in use by another program. Close it there, then start again.",
};
TROUBLES.SecurityError = TROUBLES.NotAllowedError;
TROUBLES.AbortError = TROUBLES.NotReadableError;

export const NO_CAMERA_HERE =
  "Browsers give the camera only to pages on https or localhost: open this page there.";

export const hasCameras = () => Boolean(navigator.mediaDevices?.getUserMedia);

// One sentence for people.
export const cameraTrouble = (error) =>
  TROUBLES[error.name] ?? "The camera could not be opened: " + error.message + ".";

// By its id, or else by where it looks: "user" or "environment".
export function openCamera({ id, facing } = {}) {
  const wish = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 60 } };
  if (id) wish.deviceId = { exact: id };
  else if (facing) wish.facingMode = { ideal: facing };
  return navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
}

// Which camera was chosen last, as openCamera takes it; browsers may refuse to remember.
export function chosenCamera() {
  try {
    return JSON.parse(localStorage.getItem(CHOSEN)) ?? {};
  } catch {
    return {};
  }
}

export function rememberCamera(choice) {
  try {
    localStorage.setItem(CHOSEN, JSON.stringify(choice));
  } catch {
    // It is asked for again next time.
  }
}

// Which of SIZES to send, given the one that is sent now and the mean round trip in ms.
export function frameSize(size, roundTrip) {
  if (roundTrip > SLOW) return Math.min(size + 1, SIZES.length - 1);
  return roundTrip < QUICK ? Math.max(size - 1, 0) : size;
}

export const closeCamera = (stream) => stream?.getTracks().forEach((track) => track.stop());

// Fill a select with the cameras; it is hidden where there is no choice.
export async function listCameras(select, current) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const found = devices.filter((device) => device.kind === "videoinput");
  select.replaceChildren(
    ...found.map((device, i) => new Option(device.label || "Camera " + (i + 1), device.deviceId)),
  );
  select.value = current ?? "";
  select.hidden = found.length < 2;
}

export function newFrameCanvas() {
  const canvas = document.createElement("canvas");
  // It is only drawn to be read back, which is slow from a graphics card.
  canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  return canvas;
}

let whole = null; // canvas of pictures that are made smaller

// The video's picture on a canvas, of one of SIZES.
export async function grab(video, canvas, size = 0) {
  const scale = Math.min(1, SIZES[size].width / video.videoWidth);
  const [width, height] = [video.videoWidth, video.videoHeight].map((side) => Math.round(side * scale));
  const pixels = await pixelsOf(video);
  if (pixels?.width === width) return put(pixels, canvas);
  if (pixels) put(pixels, (whole ??= newFrameCanvas()));
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(pixels ? whole : video, 0, 0, width, height);
}

// What a video shows as an ImageData, or null where its pixels lie otherwise than they are shown, or
// the browser gives none. Chromium without a graphics card keeps what is drawn from a video for a
// while: half a gigabyte of frames.
async function pixelsOf(video) {
  if (!globalThis.VideoFrame) return null;
  let frame = null;
  try {
    frame = new VideoFrame(video);
    const { width, height } = frame.visibleRect;
    if (frame.rotation || frame.flip || width !== video.videoWidth || height !== video.videoHeight) return null;
    const pixels = new ImageData(width, height);
    await frame.copyTo(pixels.data, { format: "RGBA" });
    return pixels;
  } catch {
    return null;
  } finally {
    frame?.close();
  }
}

function put(pixels, canvas) {
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// A canvas that was filled by `grab`, as a JPEG data URL.
export const toJpeg = (canvas, size = 0) => canvas.toDataURL("image/jpeg", SIZES[size].quality);

// Calls `seen` for every new picture until it returns false.
export function watchVideo(video, seen) {
  const next = () => {
    const call = () => seen() !== false && next();
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(call);
    else setTimeout(call, 33);
  };
  next();
}
