// Where the frames of a camera are read: by the server, or on this device.
import { toJpeg } from "./camera.js";

export class ServerSource {
  sized = true; // smaller frames are quicker on their way
  paired = true; // one is read while the other travels
  idle = "";
  gone = "The server does not answer. Trying again every second…";
  #server;
  #viewer = ""; // our name, a new one for every start

  // `server` has the Python function `read_frame`.
  constructor(server) {
    this.#server = server;
  }

  async open() {
    const parts = [...crypto.getRandomValues(new Uint8Array(16))];
    this.#viewer = parts.map((b) => b.toString(16)).join("-");
  }

  // The reply to the picture on a canvas.
  read(canvas, size) {
    return this.#server.read_frame({ viewer: this.#viewer, frame: toJpeg(canvas, size) });
  }

  // Tell the server that we left. A closing page cancels what gradio sends for us, but not a beacon.
  leave() {
    const viewer = this.#viewer;
    const { root, api_prefix, components } = window.gradio_config ?? {};
    const page = components?.find(({ props }) => props.elem_id === "live-page");
    if (!page) return this.#server.read_frame({ viewer }).catch(() => {});
    const call = { component_id: page.id, fn_name: "read_frame", session_hash: "live", data: { viewer } };
    const body = new Blob([JSON.stringify(call)], { type: "application/json" });
    navigator.sendBeacon(root + api_prefix + "/component_server/", body);
  }
}

export class DeviceSource {
  sized = false;
  paired = false; // a second one would only wait for the first
  idle = " Its frames stay on this device.";
  gone = "The networks in this browser do not answer. Trying again every second…";
  #open;
  #device = null;

  // `open` gives the device of `device.js`, and is told what to call with words while it loads.
  constructor(open) {
    this.#open = open;
  }

  async open(progress) {
    this.#device = await this.#open(progress);
    this.leave();
  }

  async read(canvas) {
    if (this.#device.broken) this.#device = await this.#open(() => {});
    const { width, height } = canvas;
    return this.#device.readFrame(canvas.getContext("2d").getImageData(0, 0, width, height));
  }

  leave() {
    this.#device?.restart().catch(() => {}); // a broken one has nothing to forget
  }
}

// Opens the device whose site.json is at an address, from the page's own.
export const openDevice = (site) => async (progress) => {
  const address = new URL(site, document.baseURI).href;
  let module;
  try {
    const { app } = await (await fetch(address)).json();
    module = await import(new URL(app + "/device.js", address).href);
  } catch {
    throw new Error("The networks cannot be loaded: the server does not have them. Try again later.");
  }
  return module.Device.shared(address, (far) => progress(module.progressWords(far)));
};
