// ONNX Runtime for the tests, as the page has it: the folder AGEGENDEREMO_RUNTIME holds the files
// of npm's onnxruntime-web; without it, what needs a network is skipped.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.env.AGEGENDEREMO_RUNTIME;
const checkpoints = new URL("../../checkpoints/", import.meta.url);
const required = Boolean(process.env.AGEGENDEREMO_REQUIRE_BROWSER);

// What `test` of node:test takes for one that needs networks.
export const withNetworks = { skip: folder || required ? false : "AGEGENDEREMO_RUNTIME is not set: no ONNX Runtime for the browser" };

let runtime;

async function load() {
  if (!folder) throw new Error("AGEGENDEREMO_RUNTIME must name the folder of onnxruntime-web's files.");
  const ort = await import(pathToFileURL(join(folder, "ort.wasm.bundle.min.mjs")).href);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = readFileSync(join(folder, "ort-wasm-simd-threaded.wasm"));
  return ort;
}

// A graph of the checkpoints as the engine wants it: { outputs, run(data, dims) }.
export async function network(name, external) {
  runtime ??= load();
  const ort = await runtime;
  const options = external ? { externalData: [{ path: external, data: readFileSync(new URL(external, checkpoints)) }] } : {};
  const session = await ort.InferenceSession.create(readFileSync(new URL(name, checkpoints)), options);
  const [input] = session.inputNames;
  return {
    outputs: session.outputNames,
    async run(data, dims) {
      const found = await session.run({ [input]: new ort.Tensor("float32", data, dims) });
      return session.outputNames.map((output) => ({ data: found[output].data, dims: found[output].dims }));
    },
  };
}

export async function mtcnnNetworks() {
  const [pnet, rnet, onet] = [await network("mtcnn-pnet.onnx"), await network("mtcnn-rnet.onnx"), await network("mtcnn-onet.onnx")];
  return { pnet, rnet, onet };
}
