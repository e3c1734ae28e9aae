// Drawing of faces on a canvas; mirrors lineament's draw.py.

const BOX_COLOR = "rgb(255 255 255)";
const RIM_COLOR = "rgb(16 16 16)";
const RIM_FROM_PX = 2;

/**
 * Draw faces.
 *
 * @param context 2D context whose units are pixels of the image.
 * @param faces Faces of a result.
 * @param card `card` of the Lineament object that found them.
 * @param options boxes, points, edges, sigmas, numbers: whether to draw them; `scale`: image
 *   pixels per screen pixel, which keeps lines visible in a downscaled image.
 */
export function drawFaces(context, faces, card, options = {}) {
  const settings = { boxes: true, points: true, edges: true, sigmas: false, numbers: false, ...options };
  context.save();
  // integer coordinates are pixel centers
  context.translate(0.5, 0.5);
  for (const face of faces) {
    const side = Math.max(face.box[2] - face.box[0], face.box[3] - face.box[1]);
    const unit = Math.max(Math.min(Math.max(side / 200, 0.25), 50), 0.5 * (options.scale ?? 1));
    context.lineWidth = Math.max(1, unit);
    if (settings.boxes) drawBox(context, face.box);
    if (settings.sigmas) drawSigmas(context, face, card, side);
    if (settings.edges) drawEdges(context, face, card);
    if (settings.points) drawPoints(context, face, card, Math.max(1.6 * unit, 0.75));
    if (settings.numbers) drawNumbers(context, face, Math.max(7 * unit, 6));
  }
  context.restore();
}

const isOccluded = (face, i) => (face.visible?.[i] ?? 1) < 0.5;

function drawBox(context, [x0, y0, x1, y1]) {
  const width = context.lineWidth;
  context.strokeStyle = RIM_COLOR;
  context.lineWidth = width + 2;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.strokeStyle = BOX_COLOR;
  context.lineWidth = width;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
}

function circle(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}

/** Draw a circle of two sigma around each landmark. */
function drawSigmas(context, face, card, side) {
  face.landmarks.forEach((point, i) => {
    const radius = 2 * (face.sigma_px[i] ?? 0);
    if (radius <= 0 || radius >= side) return;
    context.strokeStyle = card.colors[i];
    circle(context, point, radius);
    context.stroke();
  });
}

function drawEdges(context, face, card) {
  for (const contour of card.contours) {
    for (let k = 1; k < contour.length; k++) {
      const [from, to] = [contour[k - 1], contour[k]];
      if (isOccluded(face, from) || isOccluded(face, to)) continue;
      context.strokeStyle = card.colors[from];
      context.beginPath();
      context.moveTo(...face.landmarks[from]);
      context.lineTo(...face.landmarks[to]);
      context.stroke();
    }
  }
}

/** Draw the landmarks; those that are probably turned away or occluded are rings. */
function drawPoints(context, face, card, radius) {
  face.landmarks.forEach((point, i) => {
    circle(context, point, radius);
    if (isOccluded(face, i)) {
      context.strokeStyle = card.colors[i];
      context.stroke();
      return;
    }
    context.fillStyle = card.colors[i];
    context.fill();
    if (radius < RIM_FROM_PX) return;
    context.strokeStyle = RIM_COLOR;
    context.stroke();
  });
}

function drawNumbers(context, face, height) {
  context.font = `${height}px sans-serif`;
  context.strokeStyle = RIM_COLOR;
  context.fillStyle = BOX_COLOR;
  face.landmarks.forEach(([x, y], i) => {
    context.strokeText(String(i), x + height / 3, y - height / 3);
    context.fillText(String(i), x + height / 3, y - height / 3);
  });
}
