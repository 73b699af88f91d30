// The networks on this device, from the side of a page: they run in a worker.

const shared = new Map(); // by the address of site.json

const MEGABYTE = 1e6;
const megabytes = (count) => (count / MEGABYTE).toFixed(1);

// Whether a browser can run them at all, or a sentence that says why not.
export function trouble() {
  if (!globalThis.WebAssembly) {
    return "This browser runs no WebAssembly, so the networks cannot run in it. Any current browser can.";
  }
  return globalThis.Worker ? "" : "This browser runs no workers, so the networks cannot run in it.";
}

// How far the networks are, for people.
export const progressWords = ({ loaded, total }) =>
  loaded < total
    ? "Loading the networks: " + megabytes(loaded) + " of " + megabytes(total) + " MB"
    : "Starting the networks…";

export class Device {
  #calls = new Map(); // by id: what to do with the reply
  #count = 0;
  #listeners = new Set();
  #worker;
  #broken = null;

  constructor() {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#break(event.message || "the worker does not start");
    };
  }

  // The one device of a page for the site at an address; `progress` is called with {loaded, total}
  // until it is ready, and `keep` says that what is loaded stays for the next visit. Throws an error
  // with a sentence for people.
  static async shared(site, progress = () => {}, keep = false) {
    const reason = trouble();
    if (reason) throw new Error(reason);
    if (!shared.has(site) || shared.get(site).device.broken) {
      const device = new Device();
      shared.set(site, { device, ready: device.#call("open", { site, keep }) });
    }
    const { device, ready } = shared.get(site);
    device.#listeners.add(progress);
    try {
      await ready;
      return device;
    } catch (error) {
      shared.delete(site); // another try loads anew
      device.#worker.terminate();
      throw error;
    } finally {
      device.#listeners.delete(progress);
    }
  }

  // Whether it stopped for good: `shared` then gives another one.
  get broken() {
    return Boolean(this.#broken);
  }

  // What the camera's frame shows, an ImageData: as the server's Live page answers.
  readFrame({ width, height, data }) {
    return this.#call("frame", { width, height, data: data.buffer }, [data.buffer]);
  }

  // The record of a picture that `decode` gave, as the package writes it; `file` is its name.
  readPhoto(file, { width, height, data, whole }) {
    return this.#call("photo", { file, width, height, data: data.buffer, whole }, [data.buffer]);
  }

  // The next frame is the first of a stream.
  restart() {
    return this.#call("restart", {});
  }

  // Once what was loaded lies where the service worker looks for it.
  kept() {
    return this.#call("kept", {});
  }

  #call(kind, parts, moved = []) {
    if (this.#broken) return Promise.reject(new Error(this.#broken));
    const id = ++this.#count;
    const answered = new Promise((done, fail) => this.#calls.set(id, { done, fail }));
    this.#worker.postMessage({ id, kind, ...parts }, moved);
    return answered;
  }

  #take({ progress, id, reply, error }) {
    if (progress) return this.#listeners.forEach((told) => told(progress));
    const { done, fail } = this.#calls.get(id) ?? {};
    this.#calls.delete(id);
    if (error !== undefined) fail?.(new Error(error));
    else done?.(reply);
  }

  #break(reason) {
    this.#broken = "The networks stopped in this browser (" + reason + "). Try again, or reload the page.";
    this.#worker.terminate();
    for (const { fail } of this.#calls.values()) fail(new Error(this.#broken));
    this.#calls.clear();
  }
}
