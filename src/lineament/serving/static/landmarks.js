// Landmark prediction in crops, re-cropping and acceptance of faces; mirrors lineament's
// predictor.py, crop_search.py, recrop.py, box_shape.py and acceptance.py. A request describes
// a crop: {box, rollDeg, isRollKnown}.

import {
  affineScale,
  applyAffine,
  boxCenter,
  boxSide,
  cropAffine,
  fitRollDeg,
  fitSimilarity,
  invertAffine,
  landmarkBox,
  uprightBox,
} from "./geometry.js";
import { isNested } from "./detector.js";
import { warp } from "./pixels.js";

const SEARCH_ROLLS_DEG = [180, 90, -90];
const CUT_MARGIN = 0.05;
const UPSIDE_DOWN_DEG = 90;
const TURNED_DEG = 45;
const SAME_FACE_DISTANCE = 0.1;
const BATCH = 16; // crops per call: more are not faster and need more memory

/** Conditions for re-cropping a face: RecropPolicy in the Python package. */
const POLICY = {
  minScore: 0.7,
  maxRollDeg: 25,
  maxBoxError: 0.15,
  minUpsideDownGain: 0.1,
  minTurnedGain: 0.05,
  minPresence: 0.02,
  lowPresence: 0.2,
  minPresenceUpsideDown: 0.1,
};

/** Return the angle between two rolls, 0 to 180 degrees. */
const rollBetween = (one, other) =>
  Math.abs(((((one - other + 180) % 360) + 360) % 360) - 180);

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export class LandmarkModel {
  /** Arguments are the same as for FaceDetector. */
  constructor(session, card, run, tensorOf) {
    Object.assign(this, { session, card, run, tensorOf });
    this.policy = {
      ...POLICY,
      minScore: Math.min(POLICY.minScore, card.low_score),
      maxBoxError: Math.max(POLICY.maxBoxError, card.box_error),
    };
  }

  /** Return one face per request in an RGB image, re-cropping some of them. */
  async predictBoxes(image, requests) {
    const best = await this.runModel(image, requests);
    const crops = new Map();
    requests.forEach((first, row) => {
      if (first.isRollKnown && best[row].presence < POLICY.minPresence) return;
      crops.set(row, this.secondCrops(first, best[row]));
    });
    await this.tryUpsideDown(crops, best, image, requests);
    await this.keepBetter(best, crops, image, requests);
    // a face whose angle had to be searched is cropped around its own landmarks
    const searched = [...crops].filter(([, others]) => others.length > 1);
    const last = searched.map(([row]) => [row, [this.cropAround(best[row].landmarks)]]);
    await this.keepBetter(best, new Map(last), image, requests);
    return best;
  }

  /** Try the first crop of faces with a low presence; drop the others if it is low again. */
  async tryUpsideDown(crops, best, image, requests) {
    const doubtful = new Map();
    for (const [row, others] of crops) {
      const isLow = best[row].presence < POLICY.lowPresence;
      if (requests[row].isRollKnown && isLow && others.length > 1) {
        doubtful.set(row, [others.shift()]);
      }
    }
    const found = await this.keepBetter(best, doubtful, image, requests);
    [...doubtful.keys()].forEach((row, k) => {
      if (found[k].presence < POLICY.minPresenceUpsideDown) crops.delete(row);
    });
  }

  /** Run the model once per request. */
  async runModel(image, requests) {
    const found = [];
    for (let start = 0; start < requests.length; start += BATCH) {
      found.push(...(await this.runBatch(image, requests.slice(start, start + BATCH))));
    }
    return found;
  }

  async runBatch(image, requests) {
    const { size, padding } = this.card;
    const bytes = new Uint8Array(requests.length * size * size * 3);
    const affines = requests.map(({ box, rollDeg }, k) => {
      const affine = cropAffine(box, size, padding, rollDeg);
      const length = size * size * 3;
      warp(image, affine, size, bytes.subarray(k * length, (k + 1) * length));
      return affine;
    });
    const crops = this.tensorOf(bytes, [requests.length, size, size, 3]);
    const outputs = await this.run(this.session, { crops });
    return affines.map((affine, k) => this.readFace(outputs, k, affine));
  }

  /** Return the face of crop `k`, in pixels of the image. */
  readFace(outputs, k, affine) {
    const count = this.card.points;
    const toImage = invertAffine(affine);
    const scale = affineScale(affine);
    const face = { landmarks: [], scores: [], sigma: [], presence: NaN, visible: [] };
    for (let i = k * count; i < (k + 1) * count; i++) {
      const inCrop = [outputs.landmarks_crop.data[2 * i], outputs.landmarks_crop.data[2 * i + 1]];
      face.landmarks.push(applyAffine(toImage, inCrop));
      face.scores.push(outputs.scores.data[i]);
      face.sigma.push(outputs.sigma_px.data[i] / scale);
      face.visible.push(outputs.visible ? outputs.visible.data[i] : NaN);
    }
    if (outputs.presence) face.presence = outputs.presence.data[k];
    face.attributes = {};
    this.card.attributes.forEach((name, column) => {
      face.attributes[name] = outputs.attributes.data[k * this.card.attributes.length + column];
    });
    this.replaceUnlearned(face);
    return face;
  }

  /** Set points that the model was never trained on to the mean position and score of the others. */
  replaceUnlearned(face) {
    const unlearned = new Set(this.card.never_learned);
    if (!unlearned.size) return;
    const known = (values) => values.filter((_, i) => !unlearned.has(i));
    const points = known(face.landmarks);
    const place = [mean(points.map((p) => p[0])), mean(points.map((p) => p[1]))];
    const score = mean(known(face.scores));
    for (const i of unlearned) {
      face.landmarks[i] = [...place];
      face.scores[i] = score;
    }
  }

  /** Return the points whose tight box is used for cropping. */
  boxPoints(landmarks) {
    const { own, mean_shape: shape, never_learned: unlearned } = this.card;
    const learned = landmarks.filter((_, i) => !unlearned.includes(i));
    if (!own) return learned;
    const fitted = fitSimilarity(own, learned);
    return shape.map((point) => applyAffine(fitted, point));
  }

  /** Return the upright crop around landmarks. */
  cropAround(landmarks) {
    return { ...uprightBox(this.boxPoints(landmarks), this.card.mean_shape), isRollKnown: false };
  }

  /** Return alternative crops to try for a face, usually none. */
  secondCrops(first, face) {
    const around = this.cropAround(face.landmarks);
    if (mean(face.scores) < this.policy.minScore) {
      const turned = SEARCH_ROLLS_DEG.map((roll) => ({
        box: first.box,
        rollDeg: first.rollDeg + roll,
        isRollKnown: false,
      }));
      return [...turned, around];
    }
    const points = this.boxPoints(face.landmarks);
    const rollDeg = fitRollDeg(this.card.mean_shape, points);
    const isTurned = rollBetween(rollDeg, first.rollDeg) > this.policy.maxRollDeg;
    const isOff = boxError(first.box, landmarkBox(points)) > this.policy.maxBoxError;
    return isTurned || isOff ? [around] : [];
  }

  /** Run further crops by row, keep faces of a higher quality in `best`; return all faces found. */
  async keepBetter(best, crops, image, requests) {
    const rows = [...crops].flatMap(([row, others]) => others.map(() => row));
    const found = await this.runModel(image, [...crops.values()].flat());
    rows.forEach((row, k) => {
      const gain = quality(found[k]) - quality(best[row]);
      const penalty = (face) => this.turnedPenalty(requests[row], face.landmarks, image);
      if (gain > penalty(found[k]) - penalty(best[row])) best[row] = found[k];
    });
    return found;
  }

  /** Return the quality penalty for landmarks of a rotated face. */
  turnedPenalty(first, landmarks, image) {
    const rollDeg = fitRollDeg(this.card.mean_shape, this.boxPoints(landmarks));
    const isTurned = rollBetween(rollDeg, first.rollDeg) > TURNED_DEG;
    const penalty = isTurned ? this.policy.minTurnedGain : 0;
    if (!isCut(first.box, image) || Math.abs(rollDeg) <= UPSIDE_DOWN_DEG) return penalty;
    return Math.max(penalty, this.policy.minUpsideDownGain);
  }
}

/** Return the quality of a face's crop; higher is better. */
function quality({ scores, presence }) {
  const score = mean(scores);
  return Number.isNaN(presence) ? score : presence * score;
}

/** Return the first crop of each detection. */
export function firstCrops(detections, image) {
  return detections.map(({ box, rollDeg }) => {
    const isTurned = Math.abs(rollDeg) > POLICY.maxRollDeg;
    const isDoubtful = Math.abs(rollDeg) > UPSIDE_DOWN_DEG && isCut(box, image);
    return {
      box,
      rollDeg: isTurned && !isDoubtful ? rollDeg : 0,
      isRollKnown: Number.isFinite(rollDeg) && !isDoubtful,
    };
  });
}

/** Return true if a box is cut off by the image border. */
function isCut(box, { width, height }) {
  const margin = CUT_MARGIN * boxSide(box);
  return (
    box[0] < margin ||
    box[1] < margin ||
    box[2] > width - 1 - margin ||
    box[3] > height - 1 - margin
  );
}

/** Return the error of `box`, in sides of the tight box or the log of its side. */
function boxError(box, tight) {
  const side = boxSide(tight);
  const [x, y] = boxCenter(box);
  const [tightX, tightY] = boxCenter(tight);
  const shift = Math.hypot(x - tightX, y - tightY) / side;
  return Math.max(shift, Math.abs(Math.log(boxSide(box) / side)));
}

/** Return the rows that are faces, duplicates removed, order kept. */
export function keepFaces(found, minPresence, minScore) {
  const rows = found.map((_, row) => row).filter((row) => {
    const { presence, scores } = found[row];
    return Number.isNaN(presence) ? mean(scores) >= minScore : presence >= minPresence;
  });
  const kept = [];
  for (const row of [...rows].sort((a, b) => quality(found[b]) - quality(found[a]))) {
    const { landmarks } = found[row];
    if (!kept.some((other) => isSameFace(landmarks, found[other].landmarks))) kept.push(row);
  }
  return kept.sort((a, b) => a - b);
}

/** Return true if landmarks belong to a face that already has better landmarks. */
function isSameFace(landmarks, better) {
  const box = landmarkBox(landmarks);
  const distances = landmarks.map(([x, y], i) => Math.hypot(x - better[i][0], y - better[i][1]));
  const isNear = mean(distances) < SAME_FACE_DISTANCE * boxSide(box);
  return isNear || isNested(box, landmarkBox(better));
}
