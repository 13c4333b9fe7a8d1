// A photo's face brought into the model's frame, and the model's change brought back into the photo.
//
// The same as cdvae_gan.faces and cdvae_gan.editing, whose docstrings give the equations. Coordinates
// are continuous: pixel i covers [i, i + 1), x grows to the right and y downwards. A map of the plane
// that keeps shapes is z -> alpha z + beta over z = x + iy, here {a, b, x, y} with alpha = a + ib.
// Colours are in [0, 255]; a field is {data: Float32Array, width, height}.

export const FRAME = 178; // side of the frame, the central square of an aligned photo of 178x218

const BORDER = 0.08;
const SEEN = [1, 3];
const REPLACING = [6, 25];
const NOISE = 4;
const LUMA = [0.299, 0.587, 0.114];
const [QUICK, FINEST] = [128, 2048]; // pixels to which a change is enlarged before it is put in place

// Maps of the plane

/** The map that takes two points, each [x, y], to two others. */
export function similarity([p, q], [s, t]) {
  const [dx, dy] = [q[0] - p[0], q[1] - p[1]];
  const [ex, ey] = [t[0] - s[0], t[1] - s[1]];
  const n = dx * dx + dy * dy;
  const a = (ex * dx + ey * dy) / n;
  const b = (ey * dx - ex * dy) / n;
  return { a, b, x: s[0] - (a * p[0] - b * p[1]), y: s[1] - (b * p[0] + a * p[1]) };
}

export const apply = (m, [x, y]) => [m.a * x - m.b * y + m.x, m.b * x + m.a * y + m.y];

export const scaleOf = (m) => Math.hypot(m.a, m.b);

export function inverse(m) {
  const n = m.a * m.a + m.b * m.b;
  const [a, b] = [m.a / n, -m.b / n];
  return { a, b, x: -(a * m.x - b * m.y), y: -(b * m.x + a * m.y) };
}

/** First one map, then the other. */
export function chain(m, o) {
  const [x, y] = apply(o, [m.x, m.y]);
  return { a: o.a * m.a - o.b * m.b, b: o.a * m.b + o.b * m.a, x, y };
}

const scaling = (s) => ({ a: s, b: 0, x: 0, y: 0 });
const shift = (x, y) => ({ a: 1, b: 0, x, y });

/** Corners of the frame in the photo. */
export function corners(toFrame) {
  const back = inverse(toFrame);
  return [[0, 0], [FRAME, 0], [FRAME, FRAME], [0, FRAME]].map((p) => apply(back, p));
}

/** Whether the frame is a box of whole pixels. */
function whole(toFrame) {
  if (Math.abs(toFrame.b) > 1e-9) return false;
  return corners(toFrame).every((p) => p.every((v) => Math.abs(v - Math.round(v)) < 1e-6));
}

/** The least box of whole pixels around the frame, with a margin where it is no such box. */
function bounds(toFrame) {
  const points = corners(toFrame);
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  if (whole(toFrame)) return box.map(Math.round);
  const margin = 2 + 2 / scaleOf(toFrame);
  return [
    Math.floor(box[0] - margin),
    Math.floor(box[1] - margin),
    Math.ceil(box[2] + margin),
    Math.ceil(box[3] + margin),
  ];
}

// Resampling, as Pillow does it

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {
  lanczos: { support: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
  bicubic: {
    support: 2,
    at: (x) => {
      const t = Math.abs(x);
      if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
      return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
    },
  },
};

/** For each of `out` places along `size` pixels: where its weights begin, and the weights. */
function weights(size, out, filter) {
  const scale = size / out;
  const stretch = Math.max(scale, 1);
  const reach = filter.support * stretch;
  return Array.from({ length: out }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - reach + 0.5));
    const to = Math.min(size, Math.trunc(centre + reach + 0.5));
    const row = new Float64Array(to - from).map((_, j) =>
      filter.at((from + j - centre + 0.5) / stretch),
    );
    const total = row.reduce((sum, w) => sum + w, 0);
    return { from, row: row.map((w) => w / total) };
  });
}

/** A field at another size, without aliasing. What is kept between the passes may be rounded. */
export function resize(field, width, height, name, kept = (v) => v) {
  const across = weights(field.width, width, FILTERS[name]);
  const middle = new Float32Array(width * field.height);
  for (let y = 0; y < field.height; y++) {
    for (let x = 0; x < width; x++) {
      const { from, row } = across[x];
      const start = y * field.width + from;
      let sum = 0;
      for (let j = 0; j < row.length; j++) sum += row[j] * field.data[start + j];
      middle[y * width + x] = kept(sum);
    }
  }
  const down = weights(field.height, height, FILTERS[name]);
  const data = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const { from, row } = down[y];
    for (let j = 0; j < row.length; j++) {
      const [w, start] = [row[j], (from + j) * width];
      for (let x = 0; x < width; x++) data[y * width + x] += w * middle[start + x];
    }
  }
  return { data, width, height };
}

const cubic = (v1, v2, v3, v4, d) =>
  v2 + d * (v3 - v1 + d * (2 * (v1 - v2) + v3 - v4 + d * (v2 - v1 + v4 - v3)));

/** Places in fields of one size: where pixel (i, j) of the result lies, and how it weighs them. */
class Places {
  constructor(width, height, m) {
    Object.assign(this, { width, height, m, x: new Int32Array(4), y: new Int32Array(4), dx: 0, dy: 0 });
  }

  /** Go to a pixel; false where it lies outside. */
  goto(i, j) {
    const { m, width, height } = this;
    const u = m.a * (i + 0.5) - m.b * (j + 0.5) + m.x;
    const v = m.b * (i + 0.5) + m.a * (j + 0.5) + m.y;
    if (u < 0 || u >= width || v < 0 || v >= height) return false;
    const [x, y] = [Math.floor(u - 0.5), Math.floor(v - 0.5)];
    for (let t = 0; t < 4; t++) {
      this.x[t] = Math.min(Math.max(x - 1 + t, 0), width - 1);
      this.y[t] = Math.min(Math.max(y - 1 + t, 0), height - 1) * width;
    }
    this.dx = u - 0.5 - x;
    this.dy = v - 0.5 - y;
    return true;
  }

  /** A field's value there, from sixteen pixels. */
  cubic(data) {
    const { x, y, dx } = this;
    const [i, j, k, l] = [x[0], x[1], x[2], x[3]];
    return cubic(
      cubic(data[y[0] + i], data[y[0] + j], data[y[0] + k], data[y[0] + l], dx),
      cubic(data[y[1] + i], data[y[1] + j], data[y[1] + k], data[y[1] + l], dx),
      cubic(data[y[2] + i], data[y[2] + j], data[y[2] + k], data[y[2] + l], dx),
      cubic(data[y[3] + i], data[y[3] + j], data[y[3] + k], data[y[3] + l], dx),
      this.dy,
    );
  }

  /** From four: as good as the eye can tell, in a quarter of the time. */
  linear(data) {
    const { x, y, dx, dy } = this;
    const above = data[y[1] + x[1]] * (1 - dx) + data[y[1] + x[2]] * dx;
    const below = data[y[2] + x[1]] * (1 - dx) + data[y[2] + x[2]] * dx;
    return above * (1 - dy) + below * dy;
  }
}

/** A field seen through a map from the result to it; 0 outside of it. */
function transform(field, width, height, m) {
  const places = new Places(field.width, field.height, m);
  const data = new Float32Array(width * height);
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      if (places.goto(i, j)) data[j * width + i] = places.cubic(field.data);
    }
  }
  return { data, width, height };
}

/** A channel of part of a photo; beyond its edge, the last pixels are repeated. */
function cut(photo, [left, top, right, bottom], channel) {
  const [width, height] = [right - left, bottom - top];
  const data = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = Math.min(Math.max(top + y, 0), photo.height - 1) * photo.width;
    for (let x = 0; x < width; x++) {
      const at = start + Math.min(Math.max(left + x, 0), photo.width - 1);
      data[y * width + x] = photo.data[4 * at + channel];
    }
  }
  return { data, width, height };
}

/** A field whose pixels are means of factor x factor pixels. */
function reduce(field, factor) {
  const width = Math.ceil(field.width / factor);
  const height = Math.ceil(field.height / factor);
  const data = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [sum, n] = [0, 0];
      for (let j = y * factor; j < Math.min((y + 1) * factor, field.height); j++) {
        for (let i = x * factor; i < Math.min((x + 1) * factor, field.width); i++) {
          sum += field.data[j * field.width + i];
          n++;
        }
      }
      data[y * width + x] = sum / n;
    }
  }
  return { data, width, height };
}

/** A field of whole grey levels. Pillow's maps of the plane cut fractions off, all else rounds. */
const level = (v) => Math.min(Math.max(Math.round(v), 0), 255);
const grey = (field, cut = (v) => v) => combine([field], (v) => level(cut(v)));

/** What a photo shows in the frame: three fields of side x side, of whole grey levels. */
export function straighten(photo, toFrame, side) {
  const box = bounds(toFrame);
  const factor = Math.max(1, Math.floor((box[2] - box[0]) / (4 * side)));
  return [0, 1, 2].map((channel) => {
    let region = cut(photo, box, channel);
    if (whole(toFrame)) return grey(resize(region, side, side, "lanczos", level));
    if (factor > 1) region = grey(reduce(region, factor));
    const toRegion = { a: 1 / factor, b: 0, x: -box[0] / factor, y: -box[1] / factor };
    const pixels = Math.max(side, Math.ceil(FRAME / scaleOf(toFrame) / factor));
    const fromCanvas = chain(chain(scaling(FRAME / pixels), inverse(toFrame)), toRegion);
    const canvas = grey(transform(region, pixels, pixels, fromCanvas), Math.trunc);
    return grey(resize(canvas, side, side, "lanczos", level));
  });
}

// The change of a face

/** A function of one, two or three fields, pixel by pixel. */
function combine(fields, f) {
  const { width, height } = fields[0];
  const [p, q = p, r = p] = fields.map((field) => field.data);
  const data = new Float32Array(p.length);
  for (let i = 0; i < data.length; i++) data[i] = f(p[i], q[i], r[i]);
  return { data, width, height };
}

const luma = (rgb) => combine(rgb, (r, g, b) => LUMA[0] * r + LUMA[1] * g + LUMA[2] * b);

/** A running statistic of 2 r + 1 pixels along both axes; beyond the edge, the last are repeated. */
function around({ data, width, height }, r, step) {
  const run = (from, across) => {
    const to = new Float32Array(from.length);
    const [size, stride] = across ? [width, 1] : [height, width];
    for (let at = 0; at < from.length; at++) {
      const place = across ? at % width : Math.floor(at / width);
      const start = at - place * stride;
      let value = from[start + Math.max(place - r, 0) * stride];
      for (let t = place - r + 1; t <= place + r; t++) {
        value = step(value, from[start + Math.min(Math.max(t, 0), size - 1) * stride]);
      }
      to[at] = value;
    }
    return to;
  };
  return { data: run(run(data, true), false), width, height };
}

const mean = (field, r) =>
  combine([around(field, r, (sum, v) => sum + v)], (sum) => sum / (2 * r + 1) ** 2);
const largest = (field) => around(field, 1, Math.max);

/** Slope of the brightness of x' on that of x around each pixel, in [0, 1]. */
function resemblance(x, drawn) {
  const [a, b] = [luma(x), luma(drawn)];
  const [meanA, meanB] = [mean(a, 2), mean(b, 2)];
  const covariance = combine(
    [mean(combine([a, b], (p, q) => p * q), 2), meanA, meanB],
    (ab, p, q) => ab - p * q,
  );
  const variance = combine([mean(combine([a], (p) => p * p), 2), meanA], (aa, p) => aa - p * p);
  return combine([covariance, variance], (c, v) =>
    Math.min(Math.max((c + NOISE) / (v + NOISE), 0), 1),
  );
}

function rising(field, [low, high]) {
  return combine([field], (size) => {
    const t = Math.min(Math.max((size - low) / (high - low), 0), 1);
    return t * t * (3 - 2 * t);
  });
}

/** 1 in the middle of the frame, falling smoothly to 0 at its border. */
function frameWindow(side) {
  const profile = Float32Array.from({ length: side }, (_, i) => {
    const inwards = Math.min(i, side - 1 - i) / (BORDER * side);
    return 0.5 - 0.5 * Math.cos(Math.PI * Math.min(Math.max(inwards, 0), 1));
  });
  const data = new Float32Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) data[y * side + x] = profile[y] * profile[x];
  }
  return { data, width: side, height: side };
}

/** A field at side x side, such that making it small again gives it back. */
function enlarged(field, side) {
  const large = resize(field, side, side, "bicubic");
  if (side <= field.width) return large;
  const again = resize(large, field.width, field.height, "lanczos");
  const missing = combine([field, again], (v, w) => v - w);
  return combine([large, resize(missing, side, side, "bicubic")], (v, w) => v + w);
}

/** What a face becomes, with all that does not depend on the photo's own size.
 *
 * x and drawn are three fields of the model's size, mask is one in [0, 1]; detail is kappa.
 */
export function changeOf(x, drawn, mask, detail) {
  const change = x.map((field, k) => combine([drawn[k], field], (v, w) => v - w));
  const size = combine(change, (r, g, b) => Math.max(Math.abs(r), Math.abs(g), Math.abs(b)));
  const spread = mean(largest(size), 1);
  const faded = combine([mask, resemblance(x, drawn), rising(spread, REPLACING)], (m, r, s) =>
    s * (1 - detail * (1 - m * (1 - r))),
  );
  const seen = rising(spread, SEEN);
  return { x, change: change.map((field) => combine([field, seen], (v, s) => v * s)), faded };
}

/** A photo with a change put into it; where nothing is seen to change, not a bit does.
 *
 * photo is ImageData; the answer is a new one. `quick` is for looking at while sliders move: the same
 * but for what the eye cannot tell.
 */
export function pasted(photo, toFrame, { x, change, faded }, quick = false) {
  const result = new ImageData(new Uint8ClampedArray(photo.data), photo.width, photo.height);
  const [l, t, r, b] = bounds(toFrame);
  const [left, top] = [Math.max(l, 0), Math.max(t, 0)];
  const [width, height] = [Math.min(r, photo.width) - left, Math.min(b, photo.height) - top];
  if (width <= 0 || height <= 0) return result;
  const length = FRAME / scaleOf(toFrame);
  const full = whole(toFrame) ? Math.round(length) : Math.ceil(length);
  const side = Math.min(full, quick ? QUICK : FINEST);
  const placing = chain(chain(shift(left, top), toFrame), scaling(side / FRAME));
  const window = frameWindow(side);
  const fading = combine([enlarged(faded, side), window], (v, w) => v * w).data;
  const coarse = x.map((field) => enlarged(field, side).data);
  const added = change.map(
    (field) => combine([enlarged(field, side), window], (v, w) => v * w).data,
  );
  const places = new Places(side, side, placing);
  const at = quick ? (data) => places.linear(data) : (data) => places.cubic(data);
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      if (!places.goto(i, j)) continue;
      const fade = Math.min(Math.max(at(fading), 0), 1);
      const pixel = 4 * ((top + j) * photo.width + left + i);
      for (let k = 0; k < 3; k++) {
        const own = photo.data[pixel + k];
        const lost = fade && fade * (own - at(coarse[k]));
        result.data[pixel + k] = own + at(added[k]) - lost;
      }
    }
  }
  return result;
}
