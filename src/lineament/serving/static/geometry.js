// Boxes, affines and fits, in the pixel conventions of lineament's geometry.py: the center of the
// top-left pixel is (0, 0); a box is [x0, y0, x1, y1]; an affine is [a, b, x, c, d, y].

const DEG = 180 / Math.PI;

/** Round half to even, as NumPy and OpenCV do. */
export function rint(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

export const boxSide = (box) => Math.max(box[2] - box[0], box[3] - box[1]);

export const boxCenter = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

export const boxArea = (box) => (box[2] - box[0]) * (box[3] - box[1]);

/** Return the tight box of points [[x, y], ...]. */
export function landmarkBox(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

/** Return the intersection area of two boxes. */
export function sharedArea(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

/** Return the intersection over union of two boxes. */
export function iou(a, b) {
  const inner = sharedArea(a, b);
  const union = boxArea(a) + boxArea(b) - inner;
  return union > 0 ? inner / union : 0;
}

/** Return the affine that scales, rotates and maps the point `source` to `target`. */
export function similarity(scale, angleDeg, source, target) {
  const cos = scale * Math.cos(angleDeg / DEG);
  const sin = scale * Math.sin(angleDeg / DEG);
  const [x, y] = source;
  return [cos, -sin, target[0] - cos * x + sin * y, sin, cos, target[1] - sin * x - cos * y];
}

/** Return the image_to_crop affine of the square crop around `box`. */
export function cropAffine(box, size, padding, rollDeg) {
  const middle = (size - 1) / 2;
  const scale = size / (padding * boxSide(box));
  return similarity(scale, -rollDeg, boxCenter(box), [middle, middle]);
}

export function applyAffine([a, b, x0, c, d, y0], [x, y]) {
  return [a * x + b * y + x0, c * x + d * y + y0];
}

export function invertAffine([a, b, x, c, d, y]) {
  const area = a * d - b * c;
  return [
    d / area,
    -b / area,
    (b * y - d * x) / area,
    -c / area,
    a / area,
    (c * x - a * y) / area,
  ];
}

/** Return the affine that applies `first`, then `second`. */
export function compose(second, first) {
  const [a, b, x, c, d, y] = second;
  const [e, f, u, g, h, v] = first;
  return [
    a * e + b * g,
    a * f + b * h,
    a * u + b * v + x,
    c * e + d * g,
    c * f + d * h,
    c * u + d * v + y,
  ];
}

/** Return target pixels per source pixel. */
export const affineScale = ([a, b, , c, d]) => Math.sqrt(Math.abs(a * d - b * c));

function center(points) {
  let x = 0;
  let y = 0;
  for (const point of points) {
    x += point[0];
    y += point[1];
  }
  return [x / points.length, y / points.length];
}

/** Return the centers of two point sets, and the complex product of the centered first set with
 * the second, whose angle is the rotation between them. */
function product(source, target) {
  const from = center(source);
  const to = center(target);
  let real = 0;
  let imag = 0;
  let spread = 0;
  source.forEach((point, k) => {
    const [x, y] = [point[0] - from[0], point[1] - from[1]];
    const [u, v] = [target[k][0] - to[0], target[k][1] - to[1]];
    real += x * u + y * v;
    imag += x * v - y * u;
    spread += x * x + y * y;
  });
  return { from, to, real, imag, spread };
}

/** Return the roll of `target` relative to `source`, degrees; 0 without a source. Points of the
 * source that are null are left out. */
export function fitRollDeg(source, target) {
  if (!source) return 0;
  const isKnown = (_, k) => source[k] !== null;
  const { real, imag } = product(source.filter(isKnown), target.filter(isKnown));
  return Math.atan2(imag, real) * DEG;
}

/** Return the least-squares similarity from `source` to `target`, without mirroring. */
export function fitSimilarity(source, target) {
  const { from, to, real, imag, spread } = product(source, target);
  const [a, b] = [real / spread, imag / spread];
  return [a, -b, to[0] - a * from[0] + b * from[1], b, a, to[1] - b * from[0] - a * from[1]];
}

/** Return the square box of an upright crop of `points`, and their roll in degrees. */
export function uprightBox(points, mean) {
  const rollDeg = fitRollDeg(mean, points);
  const turned = similarity(1, -rollDeg, [0, 0], [0, 0]);
  const box = landmarkBox(points.map((point) => applyAffine(turned, point)));
  const [x, y] = applyAffine(invertAffine(turned), boxCenter(box));
  const half = boxSide(box) / 2;
  return { box: [x - half, y - half, x + half, y + half], rollDeg };
}
