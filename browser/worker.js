// All that is computed on this device: one thread with the networks, asked one thing at a time.
import { Analyzer } from "./engine/analyzer.js";
import { fromRgba } from "./engine/image.js";
import { MtcnnDetector } from "./engine/mtcnn.js";
import { pictureRecord, scaledFace, trackedRecord } from "./engine/records.js";
import { load, size } from "./load.js";
import { APP, filesKept } from "./offline.js";
import { openNetwork, openRuntime } from "./networks.js";

let analyzer = null;
let network = null; // what gives the answers: its model, precision and weights_sha256
let tracker = null; // of the camera's people

// Loads what is listed in site.json, at an address; each part is opened as soon as it is there.
async function open({ site, keep }) {
  const description = await describe(site);
  const { files, info } = description;
  const names = Object.keys(files).filter((name) => name !== "runtime"); // which is imported
  const total = names.reduce((sum, name) => sum + size(files[name]), 0);
  let loaded = 0;
  const told = (count) => postMessage({ progress: { loaded: (loaded += count), total } });
  const bytes = Object.fromEntries(names.map((name) => [name, load(site, files[name], told, keep)]));
  for (const one of Object.values(bytes)) one.catch(() => {}); // said where it is wanted
  const runtime = bytes.wasm.then((wasm) => started(openRuntime(new URL(files.runtime.path, site).href, wasm)));
  let opening = Promise.resolve(); // one after the other: they share where weights are laid
  const graph = async (name, weights = []) => {
    const [ort, data] = await Promise.all([runtime, bytes[name]]);
    opening = opening.then(() => started(openNetwork(ort, data, weights)));
    return opening;
  };
  const weights = async () => [{ path: files.weights.location, data: new Uint8Array(await bytes.weights) }];
  const [pnet, rnet, onet, reader] = await Promise.all([
    graph("pnet"),
    graph("rnet"),
    graph("onet"),
    bytes.weights ? weights().then((given) => graph("graph", given)) : graph("graph"),
  ]);
  analyzer = new Analyzer({ detector: new MtcnnDetector({ pnet, rnet, onet }), network: reader, info });
  network = description.network;
  tracker = analyzer.tracker();
  return {};
}

// What a part of the runtime comes to; its own faults are bare numbers where memory is short.
async function started(part) {
  try {
    return await part;
  } catch (error) {
    const reason = error?.message ?? String(error);
    throw new Error("The networks do not start in this browser (" + reason + "). Close other pages, then try again.");
  }
}

async function describe(site) {
  let description = null;
  try {
    const response = await fetch(site, { cache: "no-cache" });
    if (response.ok) description = await response.json();
  } catch {
    // said below
  }
  if (!description) throw new Error("The networks cannot be loaded: the site does not answer. Try again later.");
  // On a slow line one of the two may be what was kept of the version before.
  if (description.app !== APP) throw new Error("There is a new version of this page. Reload it to go on.");
  return description;
}

async function frame({ width, height, data }) {
  const began = performance.now();
  const picture = fromRgba(new Uint8Array(data), width, height);
  const faces = await tracker.update(picture, began / 1000);
  return { width, height, ms: performance.now() - began, faces: faces.map(trackedRecord) };
}

async function photo({ file, width, height, data, whole }) {
  const picture = fromRgba(new Uint8Array(data), width, height);
  const { search, detections } = await analyzer.find(picture);
  const found = await analyzer.readFaces(picture, detections);
  const faces = found.map((face) => scaledFace(face, whole.width / width, whole.height / height));
  return pictureRecord({ file, ...whole, search, faces, network });
}

async function restart() {
  tracker = analyzer.tracker();
  return {};
}

async function kept() {
  await filesKept();
  return {};
}

const KINDS = { open, frame, photo, restart, kept };
let turn = Promise.resolve();

onmessage = ({ data: { id, kind, ...parts } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id, reply: await KINDS[kind](parts) });
    } catch (error) {
      postMessage({ id, error: error?.message ?? String(error) });
    }
  });
};
