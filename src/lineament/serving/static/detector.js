// Multi-scale face detector; mirrors lineament's face_detector.py and nms.py.
// A detection is {box, score, rollDeg}.

import { boxArea, iou, sharedArea } from "./geometry.js";
import { padToMultiple, resizeToScale } from "./pixels.js";

const SMALLEST_PX = 32;
const PRE_NMS_TOP_K = 1000;
const SAME_IOU = 0.5;
const MIN_CANDIDATE_SCORE = 0.15;
const NMS_IOU = 0.4;
const SIDE = 640;
const ENLARGE = 2;
const NESTED_PART = 0.7;
const NESTED_AREA = 0.7;
const IN_FRONT_AREA = 0.25;
const DEG = 180 / Math.PI;

export class FaceDetector {
  /**
   * @param session ONNX Runtime session of the network.
   * @param card Entry of the detector in models.json.
   * @param run Runs a session: (session, {name: tensor}) -> outputs.
   * @param tensorOf Creates a tensor from bytes: (bytes, shape) -> tensor.
   */
  constructor(session, card, run, tensorOf) {
    Object.assign(this, { session, card, run, tensorOf });
  }

  /** Return the faces in an RGB image that score above `threshold`, best first. */
  async detect(image, threshold) {
    const longest = Math.max(image.width, image.height);
    const finest = Math.min(
      Math.max(SIDE, Math.min(longest, this.card.largest_side)) / longest,
      ENLARGE,
    );
    const passes = [];
    let resized = image;
    for (const scale of this.scales(finest, longest)) {
      resized = resizeToScale(resized, image, scale);
      passes.push({ scale, found: await this.candidates(resized, image, threshold) });
    }
    const fused = fuseScales(passes, this.card, threshold);
    return dropNested(fused.filter((face) => face.score > threshold));
  }

  /** Return the scales of all passes, finest first. */
  scales(finest, longest) {
    const scales = [finest];
    for (const side of this.card.coarse_sides) {
      const coarse = side / longest;
      if (coarse >= 0.75 * finest) continue;
      const last = scales[scales.length - 1];
      const reach = Math.log(this.card.largest_px / SMALLEST_PX);
      const count = Math.max(1, Math.ceil(Math.log(last / coarse) / reach - 1e-9));
      const factor = (coarse / last) ** (1 / count);
      for (let step = 1; step <= count; step++) scales.push(last * factor ** step);
    }
    return scales;
  }

  /** Return all candidates in a resized image, in pixels of the original. */
  async candidates(resized, image, threshold) {
    const padded = padToMultiple(resized);
    const shape = [1, padded.height, padded.width, 3];
    const outputs = await this.run(this.session, { image: this.tensorOf(padded.data, shape) });
    const { scores, boxes } = outputs;
    const factors = [image.width / resized.width, image.height / resized.height];
    const found = [];
    for (let k = 0; k < scores.data.length; k++) {
      const score = scores.data[k];
      if (!(score > Math.min(threshold, MIN_CANDIDATE_SCORE))) continue;
      const box = [0, 1, 2, 3].map((side) => {
        return (boxes.data[4 * k + side] + 0.5) * factors[side % 2] - 0.5;
      });
      found.push({ box, score, rollDeg: this.rollDeg(outputs, k) });
    }
    return found;
  }

  /** Return the roll of candidate `k`, computed from its five points. */
  rollDeg({ landmarks }, k) {
    let real = 0;
    let imag = 0;
    this.card.mean_five.forEach(([x, y], point) => {
      const u = landmarks.data[10 * k + 2 * point];
      const v = landmarks.data[10 * k + 2 * point + 1];
      real += u * x + v * y;
      imag += v * x - u * y;
    });
    return Math.atan2(imag, real) * DEG;
  }
}

const byScore = (a, b) => b.score - a.score;

/** Keep the best of overlapping detections, best first. */
export function nms(found, maxIou) {
  const kept = [];
  for (const one of [...found].sort(byScore)) {
    const isNew = kept.every((better) => {
      const inner = sharedArea(one.box, better.box);
      return inner * (1 + maxIou) <= maxIou * (boxArea(one.box) + boxArea(better.box));
    });
    if (isNew) kept.push(one);
  }
  return kept;
}

/** Average a box over the candidates of the same face, weighted by squared score. */
function vote(kept, candidates) {
  const sums = [0, 0, 0, 0];
  let total = 0;
  for (const { box, score } of candidates) {
    if (iou(kept.box, box) <= SAME_IOU) continue;
    total += score * score;
    for (let side = 0; side < 4; side++) sums[side] += score * score * box[side];
  }
  return { ...kept, box: sums.map((sum) => sum / total) };
}

/** Fuse the candidates of all passes, finest first; scores depend on their agreement. */
export function fuseScales(passes, { support, largest_px: largestPx }, minScore) {
  const ranges = scaleRanges(passes.map((pass) => pass.scale), largestPx);
  let candidates = passes.flatMap(({ found }, k) => {
    return found.filter((one) => isInRange(one.box, ranges[k]));
  });
  if (minScore > MIN_CANDIDATE_SCORE) {
    const strong = passes.flatMap(({ found }) => found.filter((one) => one.score > minScore));
    candidates = candidates.filter(({ box }) => {
      return strong.some((other) => iou(box, other.box) > SAME_IOU);
    });
  }
  candidates = candidates.sort(byScore).slice(0, PRE_NMS_TOP_K);
  const kept = nms(candidates, NMS_IOU).map((one) => vote(one, candidates));
  return kept.map((one) => ({ ...one, score: agreement(one, passes, ranges, support) })).sort(byScore);
}

/** Return the mean score of a face over the scales that can detect its size. */
function agreement({ box }, passes, ranges, support) {
  let total = 0;
  let passCount = 0;
  passes.forEach(({ found }, k) => {
    if (!isInRange(box, ranges[k])) return;
    const cast = new Array(support).fill(MIN_CANDIDATE_SCORE);
    for (const one of found) if (iou(box, one.box) > SAME_IOU) cast.push(one.score);
    cast.sort((a, b) => b - a);
    for (let vote = 0; vote < support; vote++) total += cast[vote] / support;
    passCount += 1;
  });
  return total / Math.max(passCount, 1);
}

function scaleRanges(scales, largestPx) {
  const ranges = scales.map((scale) => [SMALLEST_PX / scale, largestPx / scale]);
  ranges[0][0] = 0;
  ranges[ranges.length - 1][1] = Infinity;
  return ranges;
}

function isInRange(box, [low, high]) {
  const side = Math.sqrt(boxArea(box));
  return side >= low && side <= high;
}

/** Return true if a box shows part of a better face, or that face with extra surroundings. */
export function isNested(box, better) {
  const [area, betterArea] = [boxArea(box), boxArea(better)];
  const [small, large] = [Math.min(area, betterArea), Math.max(area, betterArea)];
  if (small > NESTED_AREA * large || betterArea < IN_FRONT_AREA * area) return false;
  return sharedArea(box, better) > NESTED_PART * small;
}

function dropNested(found) {
  const kept = [];
  for (const one of found) {
    if (!kept.some((better) => isNested(one.box, better.box))) kept.push(one);
  }
  return kept;
}
