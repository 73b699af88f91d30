// The camera of the browser, and its pictures as small JPEGs.

const MAX_WIDTH = 640; // pixels sent; the camera is asked for the same
const JPEG_QUALITY = 0.8;
export const FRAME_TIME = 34; // ms between two pictures of the camera

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

export function openCamera(deviceId) {
  const wish = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  if (deviceId) wish.deviceId = { exact: deviceId };
  return navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
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

// The video's picture as a JPEG data URL; the canvas keeps it.
export function grab(video, canvas) {
  const scale = Math.min(1, MAX_WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", JPEG_QUALITY);
}

// Calls `seen` for every new picture until it returns false.
export function watchVideo(video, seen) {
  const next = () => {
    const call = () => seen() !== false && next();
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(call);
    else setTimeout(call, 33);
  };
  next();
}
