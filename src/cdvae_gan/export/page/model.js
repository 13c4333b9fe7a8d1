// The model, run by onnxruntime in this page: two graphs, so that an edit takes one pass of one.
//
//   encoder  image -> z, u, before
//   decoder  image, z, u, before, a, drawing, do, strength, detail
//            -> counterfactual, mask, asked, drawn
//
// Abduction is the encoder and a decoder that does nothing, whose `drawn` is the drawing of the photo;
// an edit is the decoder alone. What an intervention entails is inside the graph.

import * as ort from "./ort/ort.wasm.min.mjs";

export const LEAVE = -1;
export const FLIP = 2;

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
// Threads need headers that a plain file server does not send; one thread is fast enough.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;

/** Three fields of colours in [0, 255] as the model takes them, [-1, 1]. */
export function toFloat(fields) {
  const n = fields[0].data.length;
  const data = new Float32Array(3 * n);
  fields.forEach((field, k) => field.data.forEach((v, i) => (data[k * n + i] = v / 127.5 - 1)));
  return data;
}

/** One image of a batch as three fields of colours in [0, 255]. */
export function toFields(data, size, row = 0) {
  const n = size * size;
  return [0, 1, 2].map((k) => {
    const from = (3 * row + k) * n;
    const field = data.slice(from, from + n).map((v) => (v + 1) * 127.5);
    return { data: field, width: size, height: size };
  });
}

export class Model {
  static async load(folder) {
    const told = await (await fetch(`${folder}/model.json`)).json();
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    const [encoder, decoder] = await Promise.all(
      ["encoder", "decoder"].map((part) =>
        ort.InferenceSession.create(`${folder}/${part}.onnx`, options),
      ),
    );
    return new Model(told, encoder, decoder);
  }

  constructor(told, encoder, decoder) {
    Object.assign(this, told); // name, attributes, size, detail, eyes, measured, ...
    this.encoder = encoder;
    this.decoder = decoder;
  }

  /** What is inferred of an image, given as Float32Array of 3 x size x size in [-1, 1]. */
  async abduct(x) {
    const image = this.#images(x, 1);
    const e = await this.encoder.run({ image });
    const before = e.before.data;
    const [, channels] = this.decoder.inputMetadata.find((m) => m.name === "drawing").shape;
    const blank = new Float32Array(channels * this.size ** 2);
    const found = { x, before, z: e.z.data, u: e.u?.data, drawing: blank, drawings: new Map() };
    return this.#from(found, new Float32Array(before.length).fill(LEAVE));
  }

  /** Counterfactuals of one image, one for each intervention of K codes. */
  async edit(found, interventions, strength, detail) {
    const from = await Promise.all(interventions.map((codes) => this.#from(found, codes)));
    const out = await this.#decode(from, interventions, strength, detail);
    return {
      images: out.counterfactual.data,
      mask: out.mask.data,
      asked: out.asked.data,
      a: from[0].a,
    };
  }

  /** What is taken to be there: what is asked for only where the model is sure of it. */
  #present(before, codes) {
    const c = this.certainty;
    return Float32Array.from(before, (p, k) => {
      const told = codes[k] >= 0 && codes[k] <= 1;
      return p > (told ? 1 - c + (2 * c - 1) * codes[k] : 0.5) ? 1 : 0;
    });
  }

  /** What was found, as an intervention needs it: another a has another drawing, made once. */
  async #from(found, codes) {
    const a = this.#present(found.before, codes);
    const key = a.join();
    if (!found.drawings.has(key)) {
      const nothing = new Float32Array(a.length).fill(LEAVE);
      const { drawn } = await this.#decode([{ ...found, a }], [nothing], 1, 1);
      found.drawings.set(key, drawn.data);
    }
    return { ...found, a, drawing: found.drawings.get(key) };
  }

  /** Probabilities that are read off one image. */
  async read(x) {
    return (await this.encoder.run({ image: this.#images(x, 1) })).before.data;
  }

  #images(data, n) {
    return new ort.Tensor("float32", data, [n, 3, this.size, this.size]);
  }

  #decode(from, interventions, strength, detail) {
    const n = interventions.length;
    const joined = (key) => {
      if (n === 1 || !from[0][key]) return from[0][key];
      const all = new Float32Array(n * from[0][key].length);
      from.forEach((found, i) => all.set(found[key], i * found[key].length));
      return all;
    };
    const rows = {
      image: joined("x"),
      z: joined("z"),
      u: joined("u"),
      before: joined("before"),
      a: joined("a"),
      drawing: joined("drawing"),
      do: Float32Array.from(interventions.flatMap((codes) => [...codes])),
      strength: new Float32Array(n).fill(strength),
      detail: new Float32Array(n).fill(detail),
    };
    const feeds = {};
    for (const { name, shape } of this.decoder.inputMetadata) {
      feeds[name] = new ort.Tensor("float32", rows[name], [n, ...shape.slice(1)]);
    }
    return this.decoder.run(feeds);
  }
}
