// Denoises audio with an exported network, one frame a call, in a worker: files as a whole, the microphone block by block.
"use strict";

let facts, network, session, ready;

async function open(runtime) {
  try {
    importScripts(new URL("ort.wasm.min.js", runtime).href);
  } catch (error) {
    throw new Error(`onnxruntime-web is not at ${runtime} (ort.wasm.min.js). See README.txt beside this page.`);
  }
  ort.env.wasm.wasmPaths = runtime;
  ort.env.wasm.numThreads = 1; // more need headers that plain servers do not send
  facts = await (await fetch("model.json")).json();
  network = facts.networks.denoiser;
  session = await ort.InferenceSession.create(network.files.onnx.file, { executionProviders: ["wasm"] });
  return { sampleRate: facts.sample_rate, hop: facts.hop, latency: facts.latency_samples, model: facts.model };
}

// A complex Fourier transform of any length that is a product of small primes, by recursion over its factors.
class Fourier {
  constructor(size) {
    this.size = size;
    this.cos = Float64Array.from({ length: size }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float64Array.from({ length: size }, (_, k) => Math.sin((2 * Math.PI * k) / size));
  }

  // real, imaginary: Float64Array [size]; sign -1 transforms, 1 inverts without the factor 1 / size.
  run(real, imaginary, sign) {
    const out = [new Float64Array(this.size), new Float64Array(this.size)];
    this.part(real, imaginary, 0, 1, this.size, out[0], out[1], 0, sign);
    return out;
  }

  part(real, imaginary, from, stride, size, outReal, outImaginary, to, sign) {
    if (size === 1) {
      outReal[to] = real[from];
      outImaginary[to] = imaginary[from];
      return;
    }
    let factor = 2;
    while (size % factor) factor++;
    const rest = size / factor;
    for (let k = 0; k < factor; k++) {
      this.part(real, imaginary, from + k * stride, stride * factor, rest, outReal, outImaginary, to + k * rest, sign);
    }
    const partReal = new Float64Array(factor), partImaginary = new Float64Array(factor);
    for (let i = 0; i < rest; i++) {
      for (let k = 0; k < factor; k++) {
        partReal[k] = outReal[to + k * rest + i];
        partImaginary[k] = outImaginary[to + k * rest + i];
      }
      for (let j = 0; j < factor; j++) {
        let sumReal = 0, sumImaginary = 0;
        for (let k = 0; k < factor; k++) {
          const turn = ((i + j * rest) * k * stride) % this.size;
          const c = this.cos[turn], s = sign * this.sin[turn];
          sumReal += partReal[k] * c - partImaginary[k] * s;
          sumImaginary += partReal[k] * s + partImaginary[k] * c;
        }
        outReal[to + j * rest + i] = sumReal;
        outImaginary[to + j * rest + i] = sumImaginary;
      }
    }
  }
}

// One channel. `block` takes hop samples and answers the hop samples that are known then: (1 + lookahead) hops earlier.
class Channel {
  constructor() {
    const { frame, hop, window: shape } = facts;
    this.fourier = new Fourier(frame);
    this.window = Float64Array.from({ length: frame }, (_, n) =>
      shape === "vorbis" ? Math.sin((Math.PI / 2) * Math.sin((Math.PI * (n + 0.5)) / frame) ** 2) : Math.sin((Math.PI * n) / frame));
    this.audio = new Float64Array(frame);
    this.half = new Float64Array(hop);
    this.states = Object.fromEntries(network.states.map((state) => {
      const size = state.shape.reduce((a, b) => a * b, 1);
      return [state.input, new ort.Tensor("float32", new Float32Array(size), state.shape)];
    }));
  }

  async block(samples, floor) {
    const { frame, hop } = facts, bins = frame / 2 + 1;
    this.audio.copyWithin(0, hop);
    this.audio.set(samples, frame - hop);
    const [real, imaginary] = this.fourier.run(this.audio.map((x, n) => x * this.window[n]), new Float64Array(frame), -1);
    const answer = await session.run({
      real: new ort.Tensor("float32", Float32Array.from(real.subarray(0, bins)), [1, bins]),
      imaginary: new ort.Tensor("float32", Float32Array.from(imaginary.subarray(0, bins)), [1, bins]),
      floor: new ort.Tensor("float32", new Float32Array([floor]), []),
      ...this.states,
    });
    for (const state of network.states) this.states[state.input] = answer[state.output];
    const cleanReal = new Float64Array(frame), cleanImaginary = new Float64Array(frame);
    const givenReal = answer.clean_real.data, givenImaginary = answer.clean_imaginary.data;
    for (let k = 0; k < bins; k++) {
      const ends = k === 0 || k === frame / 2;
      cleanReal[k] = givenReal[k];
      cleanImaginary[k] = ends ? 0 : givenImaginary[k];
      if (!ends) {
        cleanReal[frame - k] = givenReal[k];
        cleanImaginary[frame - k] = -givenImaginary[k];
      }
    }
    const [made] = this.fourier.run(cleanReal, cleanImaginary, 1);
    const out = new Float32Array(hop);
    for (let n = 0; n < hop; n++) out[n] = this.half[n] + (made[n] / frame) * this.window[n];
    for (let n = 0; n < hop; n++) this.half[n] = (made[hop + n] / frame) * this.window[hop + n];
    return out;
  }
}

async function denoise(audio, floor, progress) {
  const { hop } = facts, delay = (1 + facts.lookahead_frames) * hop, channel = new Channel();
  const out = new Float32Array(audio.length);
  const blocks = Math.ceil((audio.length + delay) / hop);
  for (let index = 0; index < blocks; index++) {
    const samples = new Float32Array(hop);
    samples.set(audio.subarray(index * hop, Math.min((index + 1) * hop, audio.length)));
    const made = await channel.block(samples, floor);
    const begin = index * hop - delay;
    for (let n = Math.max(0, -begin); n < hop && begin + n < out.length; n++) out[begin + n] = made[n];
    if (index % 100 === 0) progress(index / blocks);
  }
  return out;
}

let live = null, queue = Promise.resolve();

onmessage = ({ data }) => {
  queue = queue.then(() => answer(data)).catch((error) => postMessage({ kind: "error", text: error.message }));
};

async function answer(data) {
  if (data.kind === "open") postMessage({ kind: "ready", ...(await (ready ??= open(data.runtime))) });
  if (data.kind === "file") {
    const begun = performance.now(), channels = [];
    for (const audio of data.channels) {
      const done = channels.length;
      channels.push(await denoise(audio, data.floor, (part) => postMessage({ kind: "progress", part: (done + part) / data.channels.length })));
    }
    postMessage({ kind: "file", channels, seconds: (performance.now() - begun) / 1000 }, channels.map((channel) => channel.buffer));
  }
  if (data.kind === "start") live = new Channel();
  if (data.kind === "block" && live) {
    const begun = performance.now();
    const samples = await live.block(data.samples, data.floor);
    postMessage({ kind: "block", samples, milliseconds: performance.now() - begun }, [samples.buffer]);
  }
}
