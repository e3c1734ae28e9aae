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
 * @param options boxes, points, edges, sigmas, numbers, faceNumbers: whether to draw them; `scale`:
 *   image pixels per screen pixel, which keeps lines visible in a downscaled image.
 */
export function drawFaces(context, faces, card, options = {}) {
  const settings = { boxes: true, points: true, edges: true, sigmas: false, numbers: false, ...options };
  context.save();
  // integer coordinates are pixel centers
  context.translate(0.5, 0.5);
  const least = Math.min(1, options.scale ?? 1);
  faces.forEach((face, number) => {
    const side = Math.max(face.box[2] - face.box[0], face.box[3] - face.box[1]);
    const unit = Math.max(Math.min(Math.max(side / 200, 0.25), 50), 0.5 * (options.scale ?? 1));
    context.lineWidth = Math.max(least, unit);
    if (settings.boxes) drawBox(context, face.box, 2 * least);
    if (settings.sigmas) drawSigmas(context, face, card, side);
    if (settings.edges) drawEdges(context, face, card);
    if (settings.points) drawPoints(context, face, card, Math.max(1.6 * unit, 0.75 * least), least);
    if (settings.numbers) drawNumbers(context, face, Math.max(7 * unit, 6 * least));
    if (settings.faceNumbers) drawFaceNumber(context, face.box, number, 16 * (options.scale ?? 1));
  });
  context.restore();
}

const isOccluded = (face, i) => (face.visible?.[i] ?? 1) < 0.5;

function drawBox(context, [x0, y0, x1, y1], rim) {
  const width = context.lineWidth;
  context.strokeStyle = RIM_COLOR;
  context.lineWidth = width + rim;
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
function drawPoints(context, face, card, radius, least) {
  face.landmarks.forEach((point, i) => {
    circle(context, point, radius);
    if (isOccluded(face, i)) {
      context.strokeStyle = card.colors[i];
      context.stroke();
      return;
    }
    context.fillStyle = card.colors[i];
    context.fill();
    if (radius < RIM_FROM_PX * least) return;
    context.strokeStyle = RIM_COLOR;
    context.stroke();
  });
}

function drawNumbers(context, face, height) {
  context.font = `${height}px sans-serif`;
  face.landmarks.forEach(([x, y], i) => drawText(context, i, x + height / 3, y - height / 3));
}

/** Draw the number of a face above its box, or inside if there is no room. */
function drawFaceNumber(context, [x0, y0], number, height) {
  context.font = `bold ${height}px sans-serif`;
  context.lineWidth = height / 5;
  drawText(context, number, Math.max(x0, 0), y0 < 1.2 * height ? y0 + height : y0 - 0.3 * height);
}

function drawText(context, text, x, y) {
  context.strokeStyle = RIM_COLOR;
  context.fillStyle = BOX_COLOR;
  context.strokeText(String(text), x, y);
  context.fillText(String(text), x, y);
}
