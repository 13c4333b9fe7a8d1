// The page: a photo in, sliders, the photo with its change out. Nothing is sent anywhere.

import { apply, changeOf, corners, inverse, pasted, similarity, straighten } from "./editing.js";
import { FLIP, LEAVE, Model, toFields, toFloat } from "./model.js";

const MAX_PIXELS = 64e6;
const SHOWN = 560; // pixels of the photo as it is shown, at most

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const $ = (id) => document.getElementById(id);
const eyes = [...document.querySelectorAll(".eye")];
const words = (name) => name.replaceAll("_", " ");
const percent = (p) => `${Math.round(100 * p)} %`;

let model;
let photo; // {image, name, shown, scale, eyes: [[x, y], [x, y]]}
let found; // what was inferred of the face
let face; // three fields: what the model sees
let codes; // what the sliders say: K of [0, 1] or LEAVE
let change; // what the last edit puts into the photo; undefined where nothing is changed
let sliders = [];

// Messages

function tell(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

/** What the person at the page can mend. */
class Refusal extends Error {}

const attempt = (f) => async (...args) => {
  try {
    await f(...args);
  } catch (error) {
    tell(error.message, true);
    if (!(error instanceof Refusal)) console.error(error);
  }
};

// One piece of work at a time; of what waits meanwhile, each kind is done once.

let working = Promise.resolve();
const waiting = new Set();

function soon(work) {
  if (work === align) waiting.clear(); // which ends in all the others
  waiting.add(work);
  working = working.then(async () => {
    if (!waiting.delete(work)) return;
    await attempt(work)();
    document.body.dataset.idle = String(!waiting.size);
  });
  document.body.dataset.idle = "false";
  return working;
}

// Opening photos

/** An image's pixels, upright and over white. */
async function pixelsOf(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Refusal("This is not an image that the browser can read: take a JPEG, PNG or WebP");
  }
  if (bitmap.width * bitmap.height > MAX_PIXELS) {
    throw new Refusal(`The photo has more than ${MAX_PIXELS / 1e6} megapixels: make it smaller first`);
  }
  return drawn(bitmap, bitmap.width, bitmap.height).getImageData(0, 0, bitmap.width, bitmap.height);
}

function drawn(source, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return context;
}

async function open(blob, name, at) {
  const image = await pixelsOf(blob);
  const scale = Math.min(1, SHOWN / Math.max(image.width, image.height));
  const size = [image.width, image.height].map((v) => Math.max(1, Math.round(v * scale)));
  let shown = image;
  if (scale < 1) {
    const bitmap = await createImageBitmap(image);
    shown = drawn(bitmap, ...size).getImageData(0, 0, ...size);
  }
  photo = { image, name, shown, scale, eyes: at ?? likelyEyes(image) };
  found = change = undefined;
  codes.fill(LEAVE);
  for (const id of ["before", "after"]) {
    Object.assign($(id), { width: shown.width, height: shown.height });
    $(id).getContext("2d").putImageData(shown, 0, 0);
  }
  $("stage").classList.add("filled");
  $("compare").hidden = false;
  $("aligning").hidden = model.align !== "eyes";
  $("align").checked = model.align === "eyes" && !at && !isAligned(image);
  $("divide").value = 0;
  $("divide").dispatchEvent(new Event("input"));
  placeEyes();
  await soon(align);
}

const isAligned = ({ width, height }) =>
  model.align !== "eyes" || (width === 178 && height === 218) || (width === height && width <= 256);

/** Where eyes are likely to be, until somebody moves the points. */
function likelyEyes({ width, height }) {
  const least = Math.min(width, height);
  const side = isAligned({ width, height }) ? least : 0.7 * least;
  const [x, y] = [width / 2, isAligned({ width, height }) ? height / 2 : 0.45 * height];
  return model.eyes.map(([u, v]) => [
    x + (u / model.frame - 0.5) * side,
    y + (v / model.frame - 0.5) * side,
  ]);
}

const openFile = attempt((file) => file && open(file, file.name || "photo"));

let nextExample = 0;
const openExample = attempt(async () => {
  const { file, eyes: at } = model.examples[nextExample++ % model.examples.length];
  await open(await (await fetch(`model/${file}`)).blob(), file, at ?? undefined);
});

// The webcam

const startWebcam = attempt(async () => {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch {
    throw new Refusal("No webcam could be opened: allow it in the browser, or open a photo");
  }
  const video = $("video");
  video.srcObject = stream;
  video.hidden = $("snap").hidden = false;
  $("stage").classList.add("live");
  await video.play();
  $("snap").onclick = attempt(async () => {
    const frame = drawn(video, video.videoWidth, video.videoHeight);
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    video.hidden = $("snap").hidden = true;
    $("stage").classList.remove("live");
    await open(await frame.canvas.convertToBlob(), "webcam");
  });
  $("snap").focus();
});

// The eye points

const toFrame = () => similarity(photo.eyes, model.eyes);

/** The same map for the photo as it is shown. */
const toFrameShown = () =>
  similarity(photo.eyes.map((p) => p.map((v) => v * photo.scale)), model.eyes);

function placeEyes() {
  const { width, height } = photo.image;
  const moving = $("align").checked;
  $("stage").classList.toggle("aligns", moving);
  eyes.forEach((eye, i) => {
    eye.hidden = !moving;
    eye.style.left = `${(100 * photo.eyes[i][0]) / width}%`;
    eye.style.top = `${(100 * photo.eyes[i][1]) / height}%`;
  });
  $("frame").setAttribute("viewBox", `0 0 ${width} ${height}`);
  $("frame").firstElementChild.setAttribute("points", corners(toFrame()).join(" "));
}

function moveEye(i, x, y) {
  const { width, height } = photo.image;
  const to = [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  const other = photo.eyes[1 - i];
  if (Math.hypot(to[0] - other[0], to[1] - other[1]) < 8) return; // too close to make a frame
  photo.eyes[i] = to;
  placeEyes();
  soon(align);
}

eyes.forEach((eye, i) => {
  eye.addEventListener("pointerdown", (event) => eye.setPointerCapture(event.pointerId));
  eye.addEventListener("pointermove", (event) => {
    if (!eye.hasPointerCapture(event.pointerId)) return;
    const box = $("before").getBoundingClientRect();
    moveEye(
      i,
      ((event.clientX - box.left) / box.width) * photo.image.width,
      ((event.clientY - box.top) / box.height) * photo.image.height,
    );
  });
  eye.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const fine = Math.max(1, Math.hypot(photo.image.width, photo.image.height) / 1000);
    const far = (event.shiftKey ? 10 : 1) * fine;
    moveEye(i, photo.eyes[i][0] + far * step[0], photo.eyes[i][1] + far * step[1]);
  });
});

// The work

/** Look at the face, and do to it what the sliders say. */
async function align() {
  face = straighten(photo.image, toFrame(), model.size);
  const { data } = new ImageData(model.size, model.size);
  for (let i = 0; i < model.size ** 2; i++) {
    for (let k = 0; k < 3; k++) data[4 * i + k] = face[k].data[i];
    data[4 * i + 3] = 255;
  }
  Object.assign($("seen"), { width: model.size, height: model.size });
  $("seen").getContext("2d").putImageData(new ImageData(data, model.size, model.size), 0, 0);
  found = await model.abduct(toFloat(face));
  for (const control of [...sliders.map((s) => s.input), $("reset"), $("download")]) control.disabled = false;
  await edit();
  if ($("flips").open) await showFlips();
}

const settings = () => [Number($("strength").value), Number($("detail").value)];

async function edit() {
  if (!found) return;
  const [strength, detail] = settings();
  const start = performance.now();
  const { images, mask, asked, a } = await model.edit(found, [codes], strength, detail);
  const ran = performance.now() - start;
  // At the model's own detail nothing is nothing, even where a model does not keep all of it.
  const kept = detail === 1 || detail === model.detail;
  const nothing = kept && asked.every((v, k) => v === a[k]);
  const where = { data: mask, width: model.size, height: model.size };
  change = nothing ? undefined : changeOf(face, toFields(images, model.size), where, detail);
  const shown = change ? pasted(photo.shown, toFrameShown(), change, true) : photo.shown;
  $("after").getContext("2d").putImageData(shown, 0, 0);
  const all = performance.now() - start;
  const [took, together] = [ran, all].map((ms) => ms.toFixed(0));
  $("time").textContent =
    `The model took ${took} ms for this edit, with putting it into the photo ${together} ms.`;
  Object.assign($("time").dataset, { model: ran, all });
  const after = nothing ? found.before : await model.read(images);
  showReadings(asked, after);
  tell(nothing ? "Nothing is changed: the download is the photo itself." : "");
}

function showReadings(asked, after) {
  const gone = [];
  const come = [];
  sliders.forEach(({ row, input, output }, k) => {
    const set = codes[k] !== LEAVE;
    row.classList.toggle("set", set);
    if (!set) input.value = asked[k];
    if (!set && asked[k] < found.a[k]) gone.push(words(model.attributes[k]));
    if (!set && asked[k] > found.a[k]) come.push(words(model.attributes[k]));
    const [b, a] = [found.before[k], after[k]].map((p) => percent(p));
    output.textContent = b === a ? b : `${b} → ${a}`;
    input.setAttribute("aria-valuetext", `${percent(asked[k])}, the model reads ${b} before and ${a} after`);
  });
  const said = [];
  if (gone.length) said.push(`Goes along: ${gone.join(", ")}.`);
  if (come.length) said.push(`Comes along: ${come.join(", ")}.`);
  $("said").textContent = said.join(" ");
}

async function showFlips() {
  const [, detail] = settings();
  const flips = model.attributes.map((_, k) =>
    Float32Array.from(model.attributes, (_, j) => (j === k ? FLIP : LEAVE)),
  );
  const { images } = await model.edit(found, flips, 1, detail);
  $("grid").replaceChildren(
    ...model.attributes.map((name, k) => {
      const button = document.createElement("button");
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: model.size, height: model.size });
      const fields = toFields(images, model.size, k);
      const out = new ImageData(model.size, model.size);
      for (let i = 0; i < model.size ** 2; i++) {
        for (let c = 0; c < 3; c++) out.data[4 * i + c] = fields[c].data[i];
        out.data[4 * i + 3] = 255;
      }
      canvas.getContext("2d").putImageData(out, 0, 0);
      button.type = "button";
      button.append(canvas, `${found.a[k] ? "not " : ""}${words(name)}`);
      button.addEventListener("click", () => {
        codes.fill(LEAVE);
        codes[k] = 1 - found.a[k];
        sliders[k].input.value = codes[k];
        soon(edit);
      });
      return button;
    }),
  );
}

const download = attempt(async () => {
  await working;
  const image = change ? pasted(photo.image, toFrame(), change) : photo.image;
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await canvas.convertToBlob({ type: "image/png" }));
  link.download = `${photo.name.replace(/\.[^.]+$/, "")}-edited.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

// Controls

function slider(name, k) {
  const row = document.createElement("div");
  row.className = "slider";
  const [label, input, output] = ["label", "input", "output"].map((tag) => document.createElement(tag));
  Object.assign(input, { type: "range", id: `attribute-${name}`, min: 0, max: 1, step: 0.05 });
  Object.assign(input, { value: 0, disabled: true });
  label.htmlFor = input.id;
  label.textContent = words(name);
  const share = model.measured[name];
  if (share !== undefined) {
    const note = document.createElement("small");
    note.textContent = `works in ${percent(share)}`;
    note.title = "Share of flips that classifiers which the model never met take for real";
    label.append(note);
  }
  input.addEventListener("input", () => {
    codes[k] = Number(input.value);
    soon(edit);
  });
  label.addEventListener("dblclick", () => {
    codes[k] = LEAVE;
    soon(edit);
  });
  row.append(label, input, output);
  return { row, input, output };
}

for (const id of ["strength", "detail"]) {
  $(id).addEventListener("input", () => {
    $(id).nextElementSibling.textContent = percent($(id).value);
    soon(edit);
  });
}
$("divide").addEventListener("input", () => {
  $("stage").style.setProperty("--divide", `${$("divide").value}%`);
});
$("align").addEventListener("change", placeEyes);
$("reset").addEventListener("click", () => {
  codes.fill(LEAVE);
  for (const [id, value] of [["strength", 1], ["detail", model.detail]]) {
    $(id).value = value;
    $(id).nextElementSibling.textContent = percent(value);
  }
  soon(edit);
});
$("flips").addEventListener("toggle", () => $("flips").open && found && soon(showFlips));
$("download").addEventListener("click", download);
$("webcam").addEventListener("click", startWebcam);
$("example").addEventListener("click", openExample);
$("file").addEventListener("change", () => openFile($("file").files[0]));
addEventListener("paste", (event) => openFile([...event.clipboardData.files][0]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
});
addEventListener("dragleave", () => $("stage").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  openFile([...event.dataTransfer.files][0]);
});

await attempt(async () => {
  if (location.protocol === "file:") {
    throw new Refusal(
      "Browsers open no model from a file: serve this folder, as python -m http.server does",
    );
  }
  model = await Model.load("model");
  codes = new Float32Array(model.attributes.length).fill(LEAVE);
  sliders = model.attributes.map(slider);
  $("sliders").replaceChildren(...sliders.map((s) => s.row));
  $("detail").value = model.detail;
  $("detail").nextElementSibling.textContent = percent(model.detail);
  $("example").hidden = !model.examples.length;
  $("webcam").hidden = !navigator.mediaDevices;
  const pixels = `${model.size} × ${model.size} pixels`;
  $("about").textContent = `Model ${model.name}, ${pixels}, run by onnxruntime-web ${model.ort}. `;
  if (model.card) {
    const link = document.createElement("a");
    link.href = `model/${model.card}`;
    link.textContent = "What it was trained on, and what it does badly";
    $("about").append(link);
  }
  tell("Open, drop or paste a photo, or take the example.");
  if (model.examples.length) await openExample();
})();
document.body.dataset.ready = "true";
