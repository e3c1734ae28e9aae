// Facial landmarks in images and video, in the browser or in Node.js. No data is sent anywhere:
// models and runtime are loaded from the folder of this file.
//
//   import { load } from "./lineament.js";
//   const lineament = await load({ model: "fast" });
//   const { faces } = await lineament.detect(blob);

import { FaceDetector } from "./detector.js";
import { iou, landmarkBox } from "./geometry.js";
import { firstCrops, keepFaces, LandmarkModel } from "./landmarks.js";
import { fromRgba } from "./pixels.js";

export { toCsv, toJson } from "./tables.js";
export { drawFaces } from "./draw.js";

const MIN_PRESENCE = 0.9;
const KEEP_PRESENCE = 0.3; // minimum presence of a face tracked from frame to frame
const MIN_SCORE = 0.4; // minimum face score if the model does not predict presence
const DETECT_EVERY = 10; // frames between two runs of the detector
const FOLLOWED_IOU = 0.3; // above this IoU a detection is an already tracked face
const NAME = /^[A-Za-z0-9.+-]+$/;

/**
 * Open a model.
 *
 * @param {object} [options]
 * @param {string} [options.model] Name in models.json; default: the first entry.
 * @param {string|URL} [options.base] Folder of models.json; default: the folder of this file.
 * @param {(done: number, total: number) => void} [options.onProgress] Called with bytes loaded and total.
 * @returns {Promise<Lineament>}
 */
export async function load({ model, base = new URL(".", import.meta.url), onProgress } = {}) {
  const folder = new URL(base, import.meta.url);
  const { models, detector, runtime } = JSON.parse(decode(await read(folder, "models.json")));
  const name = model ?? Object.keys(models)[0];
  if (!NAME.test(name) || !Object.hasOwn(models, name)) {
    throw new Error(`unknown model '${name}'; choose one of ${Object.keys(models).join(", ")}`);
  }
  const card = models[name];
  const files = [runtime, detector, card];
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const loaded = files.map(async ({ file }) => {
    return read(folder, file, (count) => onProgress?.((done += count), total));
  });
  const [wasm, ...networks] = await Promise.all(loaded);
  const ort = await openRuntime(folder, runtime, wasm);
  const sessions = await Promise.all(networks.map((bytes) => ort.InferenceSession.create(bytes)));
  return new Lineament(ort, [detector, card], sessions);
}

const decode = (bytes) => new TextDecoder().decode(bytes);

/** Read a file in the folder: over HTTP, or from disk in Node.js. */
async function read(folder, file, onBytes = () => {}) {
  const address = new URL(file, folder);
  if (address.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(address);
  }
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${file}: cannot be loaded (${response.status})`);
  const reader = response.body.getReader();
  const parts = [];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    onBytes(part.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function openRuntime(folder, { module, loader }, wasm) {
  const ort = await import(new URL(module, folder));
  // threads need a cross-origin isolated page, and Node.js has no workers the runtime could use
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? 0 : 1;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL(loader, folder).href };
  ort.env.logLevel = "error";
  return ort;
}

export class Lineament {
  constructor(ort, [detectorCard, card], [detectorSession, session]) {
    // a session can only run one call at a time
    let last = Promise.resolve();
    const run = (to, inputs) => {
      const next = last.then(() => to.run(inputs));
      last = next.catch(() => {});
      return next;
    };
    const tensorOf = (bytes, shape) => new ort.Tensor("uint8", bytes, shape);
    this.card = card;
    this.minScore = Math.min(MIN_SCORE, card.low_score);
    this.threshold = detectorCard[card.predicts_presence ? "proposal_threshold" : "threshold"];
    this.detector = new FaceDetector(detectorSession, detectorCard, run, tensorOf);
    this.model = new LandmarkModel(session, card, run, tensorOf);
    this.reset();
  }

  /**
   * Find the faces in an image.
   *
   * @param image ImageBitmap, Blob, ImageData, VideoFrame, or anything createImageBitmap accepts.
   * @param {object} [options]
   * @param {number[][]} [options.boxes] Face boxes, [x0, y0, x1, y1] each; if given, the
   *   detector is skipped and no face is dropped.
   * @param {string} [options.name] Name of the image in the result.
   * @returns {Promise<object>} The fields of the Python function `faces_to_json`, and image_size.
   */
  async detect(image, { boxes, name = "" } = {}) {
    const rgb = await toRgb(image);
    const detections = boxes
      ? boxes.map((box) => ({ box, score: 1, rollDeg: NaN }))
      : await this.detector.detect(rgb, this.threshold);
    const found = await this.model.predictBoxes(rgb, firstCrops(detections, rgb));
    const rows = boxes ? found.keys() : keepFaces(found, MIN_PRESENCE, this.minScore);
    const faces = Array.from(rows, (row) => this.faceEntry(found[row], detections[row]));
    return this.result(name, faces, rgb);
  }

  /**
   * Find the faces in the next video frame. The detector runs on every tenth frame and while there
   * is no face; otherwise each face is cropped around its landmarks in the previous frame.
   *
   * @param frame Same types as `image` in `detect`.
   */
  async track(frame) {
    const rgb = await toRgb(frame);
    const isSearch = this.frame % DETECT_EVERY === 0 || !this.followed.length;
    this.frame += 1;
    const followed = this.followed.map(({ landmarks, score }) => {
      const request = this.model.cropAround(landmarks);
      return { ...request, score, minPresence: KEEP_PRESENCE };
    });
    const found = await this.model.runModel(rgb, followed);
    const tightBox = ({ landmarks }) => landmarkBox(this.model.boxPoints(landmarks));
    if (isSearch) {
      const known = found.map(tightBox);
      const fresh = (await this.detector.detect(rgb, this.threshold)).filter(({ box }) => {
        return known.every((other) => iou(box, other) < FOLLOWED_IOU);
      });
      found.push(...(await this.model.predictBoxes(rgb, firstCrops(fresh, rgb))));
      followed.push(...fresh.map((face) => ({ ...face, minPresence: MIN_PRESENCE })));
    }
    const rows = keepFaces(found, KEEP_PRESENCE, this.minScore).filter((row) => {
      return !(found[row].presence < followed[row].minPresence);
    });
    const faces = rows.map((row) => {
      return this.faceEntry(found[row], { box: tightBox(found[row]), score: followed[row].score });
    });
    this.followed = rows.map((row) => ({
      landmarks: found[row].landmarks,
      score: followed[row].score,
    }));
    return this.result("", faces, rgb);
  }

  /** Forget the tracked faces, before starting another video. */
  reset() {
    this.frame = 0;
    this.followed = [];
  }

  result(name, faces, { width, height }) {
    return { image: name, faces, ...this.card.scheme_entries, image_size: [width, height] };
  }

  /** Return a face with the fields of the Python function `faces_to_dict`. */
  faceEntry(found, { box, score }) {
    const unlearned = new Set(this.card.never_learned);
    const clip = (value) => Math.min(Math.max(value, 0), 1);
    const known = (values, other) => values.map((value, i) => (unlearned.has(i) ? other : value));
    const entry = {
      box: [...box],
      score: clip(score),
      landmarks: found.landmarks,
      scores: known(found.scores, 0).map(clip),
      sigma_px: known(found.sigma, null),
    };
    if (!Number.isNaN(found.presence)) entry.presence = clip(found.presence);
    if (!Number.isNaN(found.visible[0])) entry.visible = known(found.visible, 0).map(clip);
    if (this.card.attributes.length) entry.attributes = found.attributes;
    return entry;
  }
}

/** Return the RGB pixels {data, width, height} of an image, with its EXIF orientation applied. */
async function toRgb(image) {
  if (image?.data && image.width && image.height) return fromRgba(image);
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(image, options);
  } catch (error) {
    throw new Error("not an image that can be opened", { cause: error });
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return fromRgba(context.getImageData(0, 0, width, height));
}
