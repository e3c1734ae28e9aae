// Canvas that shows a face with its landmarks; it can be zoomed, moved and mirrored.
// Landmark coordinates start at the center of the first pixel, canvas coordinates at its corner.

const FACE_PX = 700;
const MAX_ZOOM = 64;
const COLORS = {
  point: "#39d353", occluded: "#ffb000", chosen: "#ffffff", comparison: "#4da3ff", moved: "#ff5fa2",
};

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.shown = { comparison: true, sigma: true, edges: true };
    this.mirrored = false;
    this.bare = false;
    this.isFitted = false;
  }

  /** Fit the face: its longer side takes 700 pixels, or less if the window is small. */
  fit(face) {
    const { width, height } = this.size();
    const room = Math.min(FACE_PX, 0.9 * Math.min(width, height));
    const [x0, y0, x1, y1] = face.box;
    this.scale = room / Math.max(face.side, 1);
    this.center = [(x0 + x1) / 2 + 0.5, (y0 + y1) / 2 + 0.5];
    this.isFitted = true;
  }

  size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  toCanvas([x, y]) {
    const { width, height } = this.size();
    const across = (x + 0.5 - this.center[0]) * this.scale;
    const down = (y + 0.5 - this.center[1]) * this.scale;
    return [width / 2 + (this.mirrored ? -across : across), height / 2 + down];
  }

  toImage([px, py]) {
    const { width, height } = this.size();
    const across = (px - width / 2) / this.scale;
    const x = this.center[0] + (this.mirrored ? -across : across);
    return [x - 0.5, this.center[1] + (py - height / 2) / this.scale - 0.5];
  }

  /** Zoom by a factor around the fixed point `at`, in canvas pixels. */
  zoom(factor, at) {
    this.isFitted = false;
    const before = this.toImage(at);
    this.scale = Math.min(MAX_ZOOM, Math.max(0.05, this.scale * factor));
    const after = this.toImage(at);
    this.center = [0, 1].map((i) => this.center[i] + before[i] - after[i]);
  }

  pan(dx, dy) {
    this.isFitted = false;
    this.center[0] -= (this.mirrored ? -dx : dx) / this.scale;
    this.center[1] -= dy / this.scale;
  }

  draw(face, image, edges, chosen) {
    const { width, height } = this.size();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const ink = this.canvas.getContext("2d");
    ink.scale(ratio, ratio);
    if (!face) return;
    this.drawImage(ink, face, image);
    if (this.bare) return;
    if (this.shown.edges) this.drawEdges(ink, face, edges);
    if (this.shown.sigma) this.drawSigmas(ink, face);
    if (this.shown.comparison && face.second) this.drawComparison(ink, face);
    this.drawPoints(ink, face, chosen);
  }

  drawImage(ink, face, image) {
    const [x0, y0, x1, y1] = face.region;
    const { width, height } = this.size();
    ink.save();
    ink.translate(width / 2, height / 2);
    ink.scale(this.mirrored ? -this.scale : this.scale, this.scale);
    ink.translate(-this.center[0], -this.center[1]);
    ink.imageSmoothingEnabled = this.scale < 24;
    ink.imageSmoothingQuality = "high";
    ink.drawImage(image, x0, y0, x1 - x0, y1 - y0);
    ink.restore();
  }

  drawEdges(ink, face, edges) {
    ink.strokeStyle = "rgba(255, 255, 255, 0.35)";
    ink.lineWidth = 1;
    ink.beginPath();
    for (const [a, b] of edges) {
      ink.moveTo(...this.toCanvas(face.landmarks[a]));
      ink.lineTo(...this.toCanvas(face.landmarks[b]));
    }
    ink.stroke();
  }

  drawSigmas(ink, face) {
    ink.strokeStyle = "rgba(57, 211, 83, 0.55)";
    ink.lineWidth = 1;
    face.landmarks.forEach((point, i) => {
      if (face.sigma_px[i] === null) return;
      ink.beginPath();
      ink.arc(...this.toCanvas(point), face.sigma_px[i] * this.scale, 0, 2 * Math.PI);
      ink.stroke();
    });
  }

  drawComparison(ink, face) {
    ink.strokeStyle = COLORS.comparison;
    ink.fillStyle = COLORS.comparison;
    ink.lineWidth = 1.5;
    face.second.forEach((point, i) => {
      const [x, y] = this.toCanvas(point);
      ink.beginPath();
      ink.moveTo(...this.toCanvas(face.landmarks[i]));
      ink.lineTo(x, y);
      ink.stroke();
      ink.fillRect(x - 2.5, y - 2.5, 5, 5);
    });
  }

  drawPoints(ink, face, chosen) {
    face.landmarks.forEach((point, i) => {
      const [x, y] = this.toCanvas(point);
      const moved = Math.hypot(point[0] - face.start[i][0], point[1] - face.start[i][1]) > 0.01;
      ink.beginPath();
      ink.arc(x, y, i === chosen ? 6 : 4, 0, 2 * Math.PI);
      ink.lineWidth = 2;
      ink.strokeStyle = i === chosen ? COLORS.chosen : "rgba(0, 0, 0, 0.7)";
      if (face.occluded[i]) {
        ink.strokeStyle = i === chosen ? COLORS.chosen : COLORS.occluded;
      } else {
        ink.fillStyle = moved ? COLORS.moved : COLORS.point;
        ink.fill();
      }
      ink.stroke();
    });
  }
}
