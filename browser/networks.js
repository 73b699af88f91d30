// Networks in ONNX Runtime's WebAssembly build, as the engine takes them.

// The runtime of a module, whose binary is given: it fetches nothing itself.
export async function openRuntime(module, wasm) {
  const ort = await import(module);
  ort.env.wasm.numThreads = 1; // more only burn time, and need headers that a framed page lacks
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  return ort;
}

// A network of the bytes of its graph; `weights` are {path, data} of the file that it points into.
export async function openNetwork(ort, graph, weights = []) {
  const session = await ort.InferenceSession.create(new Uint8Array(graph), {
    executionProviders: ["wasm"],
    externalData: weights,
  });
  const [input] = session.inputNames;
  const outputs = [...session.outputNames];
  return {
    outputs,
    async run(data, dims) {
      const answers = await session.run({ [input]: new ort.Tensor("float32", data, dims) });
      return outputs.map((name) => ({ data: answers[name].data, dims: answers[name].dims }));
    },
  };
}
