// All that is computed on this device: one thread with the networks, asked one thing at a time.
import { Analyzer } from "./engine/analyzer.js";
import { fromRgba } from "./engine/image.js";
import { MtcnnDetector } from "./engine/mtcnn.js";
import { Predictor } from "./engine/predictor.js";
import { pictureRecord, trackedRecord } from "./engine/records.js";
import { load, size } from "./load.js";
import { openNetwork, openRuntime } from "./networks.js";

let analyzer = null;
let network = null; // what gives the answers: its model, precision and weights_sha256
let tracker = null; // of the camera's people

// Loads what site.json lists below an address.
async function open({ site, description }) {
  const { files, info } = description;
  const names = Object.keys(files);
  const total = names.reduce((sum, name) => sum + (name === "runtime" ? 0 : size(files[name])), 0);
  let loaded = 0;
  const told = (count) => postMessage({ progress: { loaded: (loaded += count), total } });
  const bytes = {};
  await Promise.all(
    names.filter((name) => name !== "runtime").map(async (name) => (bytes[name] = await load(site, files[name], told))),
  );
  const ort = await openRuntime(new URL(files.runtime.path, site).href, bytes.wasm);
  const graph = (name, weights) => openNetwork(ort, bytes[name], weights);
  const [pnet, rnet, onet] = [await graph("pnet"), await graph("rnet"), await graph("onet")];
  const weights = bytes.weights ? [{ path: files.weights.location, data: new Uint8Array(bytes.weights) }] : [];
  const reader = await graph("graph", weights);
  analyzer = new Analyzer({
    detector: new MtcnnDetector({ pnet, rnet, onet }),
    predictor: new Predictor(reader, info),
    info,
  });
  network = description.network;
  tracker = analyzer.tracker();
  return {};
}

async function frame({ width, height, data }) {
  const began = performance.now();
  const picture = fromRgba(new Uint8Array(data), width, height);
  const faces = await tracker.update(picture, began / 1000);
  return { width, height, ms: performance.now() - began, faces: faces.map(trackedRecord) };
}

async function photo({ file, width, height, data }) {
  const picture = fromRgba(new Uint8Array(data), width, height);
  const { search, detections } = await analyzer.find(picture);
  const faces = await analyzer.readFaces(picture, detections);
  return pictureRecord({ file, width, height, search, faces, network });
}

async function restart() {
  tracker = analyzer.tracker();
  return {};
}

const KINDS = { open, frame, photo, restart };
let turn = Promise.resolve();

onmessage = ({ data: { id, kind, ...parts } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id, reply: await KINDS[kind](parts) });
    } catch (error) {
      postMessage({ id, error: error.message });
    }
  });
};
