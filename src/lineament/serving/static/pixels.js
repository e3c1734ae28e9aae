// Resizing and warping with the same pixel values as OpenCV. An image is {data, width, height} with
// three RGB bytes per pixel.

import { affineScale, applyAffine, compose, invertAffine, rint } from "./geometry.js";

const COEFFICIENT = 2048; // fixed-point scale of OpenCV's linear resizing
const SUB_PIXELS = 32; // coordinates of OpenCV's warp are rounded to 1/32 px

export function newImage(width, height) {
  return { data: new Uint8Array(width * height * 3), width, height };
}

/** Return the RGB image of RGBA pixels {data, width, height}, composited over white. */
export function fromRgba({ data, width, height }) {
  const image = newImage(width, height);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3];
    for (let k = 0; k < 3; k++) {
      const value = data[from + k];
      image.data[to + k] = alpha === 255 ? value : Math.round(255 + ((value - 255) * alpha) / 255);
    }
  }
  return image;
}

/** Return the image padded with black on the right and bottom to multiples of 32. */
export function padToMultiple(image, multiple = 32) {
  const width = Math.ceil(image.width / multiple) * multiple;
  const height = Math.ceil(image.height / multiple) * multiple;
  if (width === image.width && height === image.height) return image;
  const padded = newImage(width, height);
  copyRows(image, padded, 0, 0);
  return padded;
}

/** Copy the part of `image` that starts at (x, y) and fits into `target`. */
function copyRows(image, target, x, y) {
  const count = 3 * Math.min(target.width, image.width - x);
  const rows = Math.min(target.height, image.height - y);
  for (let row = 0; row < rows; row++) {
    const start = 3 * ((y + row) * image.width + x);
    const bytes = image.data.subarray(start, start + count);
    target.data.set(bytes, 3 * row * target.width);
  }
}

/** Return the image at `scale` times the size {width, height} of its original. */
export function resizeToScale(image, original, scale) {
  const width = Math.max(1, rint(original.width * scale));
  const height = Math.max(1, rint(original.height * scale));
  if (width === image.width && height === image.height) return image;
  let small = image;
  while (width * 2 <= small.width && height * 2 <= small.height) {
    small = resizeArea(small, Math.ceil(small.width / 2), Math.ceil(small.height / 2));
  }
  const resize = width < 0.75 * small.width ? resizeArea : resizeLinear;
  return resize(small, width, height);
}

/** Return, per target pixel, the source pixels that it covers and their weights. */
function areaSpans(from, to) {
  const scale = from / to;
  const spans = [];
  for (let k = 0; k < to; k++) {
    const start = k * scale;
    const end = start + scale;
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    const span = [];
    if (first - start > 1e-3) span.push([first - 1, Math.fround((first - start) / cell)]);
    for (let at = first; at < last; at++) span.push([at, Math.fround(1 / cell)]);
    if (end - last > 1e-3) {
      span.push([last, Math.fround(Math.min(end - last, 1, cell) / cell)]);
    }
    spans.push(span);
  }
  return spans;
}

/** Return the image shrunk by area. */
export function resizeArea(image, width, height) {
  if (image.width % width === 0 && image.height % height === 0) {
    return shrinkByIntegers(image, width, height);
  }
  const columns = areaSpans(image.width, width);
  const resized = newImage(width, height);
  const sums = new Float32Array(3 * width);
  areaSpans(image.height, height).forEach((rows, y) => {
    sums.fill(0);
    for (const [row, share] of rows) addRow(image, row, share, columns, sums);
    for (let k = 0; k < sums.length; k++) resized.data[3 * width * y + k] = rint(sums[k]);
  });
  return resized;
}

function addRow(image, row, share, columns, sums) {
  const start = 3 * row * image.width;
  for (let x = 0; x < columns.length; x++) {
    let [red, green, blue] = [0, 0, 0];
    for (const [column, weight] of columns[x]) {
      const at = start + 3 * column;
      red += image.data[at] * weight;
      green += image.data[at + 1] * weight;
      blue += image.data[at + 2] * weight;
    }
    sums[3 * x] += share * red;
    sums[3 * x + 1] += share * green;
    sums[3 * x + 2] += share * blue;
  }
}

function shrinkByIntegers(image, width, height) {
  const [stepX, stepY] = [image.width / width, image.height / height];
  const isHalf = stepX === 2 && stepY === 2; // OpenCV rounds half up here, and half to even elsewhere
  const share = Math.fround(1 / (stepX * stepY));
  const resized = newImage(width, height);
  const row = 3 * image.width;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        const start = y * stepY * row + 3 * x * stepX + k;
        for (let j = 0; j < stepY; j++) {
          for (let i = 0; i < stepX; i++) sum += image.data[start + j * row + 3 * i];
        }
        const value = isHalf ? (sum + 2) >> 2 : rint(Math.fround(sum * share));
        resized.data[3 * (y * width + x) + k] = value;
      }
    }
  }
  return resized;
}

/** Return, per target pixel, two source pixels and their interpolation weights. */
function linearTaps(from, to) {
  const scale = from / to;
  const taps = [];
  for (let k = 0; k < to; k++) {
    const place = Math.fround((k + 0.5) * scale - 0.5);
    let first = Math.floor(place);
    let rest = Math.fround(place - first);
    if (first < 0) [first, rest] = [0, 0];
    if (first >= from - 1) [first, rest] = [from - 1, 0];
    const next = Math.min(first + 1, from - 1);
    const near = rint(Math.fround(1 - rest) * COEFFICIENT);
    taps.push([first, next, near, rint(rest * COEFFICIENT)]);
  }
  return taps;
}

/** Return the image resized bilinearly. */
export function resizeLinear(image, width, height) {
  const columns = linearTaps(image.width, width);
  const resized = newImage(width, height);
  const kept = new Map(); // horizontally resized rows, of which two are needed at a time
  const rowOf = (row) => {
    if (!kept.has(row)) {
      if (kept.size > 1) kept.delete(kept.keys().next().value);
      kept.set(row, resizeRow(image, row, columns));
    }
    return kept.get(row);
  };
  linearTaps(image.height, height).forEach(([top, bottom, near, far], y) => {
    const above = rowOf(top);
    const below = rowOf(bottom);
    for (let k = 0; k < above.length; k++) {
      const sum = ((near * (above[k] >> 4)) >> 16) + ((far * (below[k] >> 4)) >> 16);
      resized.data[3 * width * y + k] = (sum + 2) >> 2;
    }
  });
  return resized;
}

function resizeRow(image, row, columns) {
  const start = 3 * row * image.width;
  const sums = new Int32Array(3 * columns.length);
  columns.forEach(([first, next, near, far], x) => {
    for (let k = 0; k < 3; k++) {
      const left = image.data[start + 3 * first + k];
      sums[3 * x + k] = left * near + image.data[start + 3 * next + k] * far;
    }
  });
  return sums;
}

/** Write the crop (size x size, RGB) of `image` by an image_to_crop affine into `target`. */
export function warp(image, imageToCrop, size, target) {
  let [shown, affine] = [image, imageToCrop];
  const scale = affineScale(imageToCrop);
  if (scale <= 0.5) {
    [shown, affine] = visiblePart(shown, affine, size);
    [shown, affine] = shrinkByArea(shown, affine, Math.floor(1 / scale));
  }
  target.fill(0);
  if (shown.width && shown.height) warpAffine(shown, affine, size, target);
}

/** Return the part of `image` that the crop shows, and the affine from that part. */
function visiblePart(image, affine, size) {
  const far = size - 1;
  const back = invertAffine(affine);
  const corners = [[0, 0], [far, 0], [0, far], [far, far]].map((at) => applyAffine(back, at));
  const margin = 2 / affineScale(affine) + 2;
  const spans = [image.width, image.height].map((length, axis) => {
    const values = corners.map((corner) => corner[axis]);
    const inside = (value) => Math.min(Math.max(value, 0), length);
    const start = inside(Math.floor(Math.min(...values) - margin));
    return [start, inside(Math.ceil(Math.max(...values) + margin) + 1)];
  });
  const [[x0, x1], [y0, y1]] = spans;
  const part = newImage(x1 - x0, y1 - y0);
  copyRows(image, part, x0, y0);
  return [part, compose(affine, [1, 0, x0, 0, 1, y0])];
}

function shrinkByArea(image, affine, factor) {
  const width = Math.floor(image.width / factor);
  const height = Math.floor(image.height / factor);
  if (width === 0 || height === 0) return [newImage(0, 0), affine];
  const divisible = newImage(width * factor, height * factor);
  copyRows(image, divisible, 0, 0);
  const shift = (factor - 1) / 2;
  const enlarge = [factor, 0, shift, 0, factor, shift];
  return [shrinkByIntegers(divisible, width, height), compose(affine, enlarge)];
}

function warpAffine(image, affine, size, target) {
  const [a, b, x0, c, d, y0] = invertAsOpenCv(affine);
  const { data, width, height } = image;
  const columnsX = new Int32Array(size);
  const columnsY = new Int32Array(size);
  for (let x = 0; x < size; x++) {
    columnsX[x] = rint(a * x * 1024);
    columnsY[x] = rint(c * x * 1024);
  }
  let to = 0;
  for (let y = 0; y < size; y++) {
    const rowX = rint((b * y + x0) * 1024) + 16;
    const rowY = rint((d * y + y0) * 1024) + 16;
    for (let x = 0; x < size; x++, to += 3) {
      const fixedX = (rowX + columnsX[x]) >> 5;
      const fixedY = (rowY + columnsY[x]) >> 5;
      const [left, top] = [fixedX >> 5, fixedY >> 5];
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      const [right, down] = [fixedX & 31, fixedY & 31];
      const hasLeft = left >= 0;
      const hasRight = left + 1 < width;
      const hasTop = top >= 0;
      const hasBottom = top + 1 < height;
      const at = 3 * (top * width + left);
      const below = at + 3 * width;
      for (let k = 0; k < 3; k++) {
        const v00 = hasTop && hasLeft ? data[at + k] : 0;
        const v01 = hasTop && hasRight ? data[at + 3 + k] : 0;
        const v10 = hasBottom && hasLeft ? data[below + k] : 0;
        const v11 = hasBottom && hasRight ? data[below + 3 + k] : 0;
        const upper = v00 * (SUB_PIXELS - right) + v01 * right;
        const lower = v10 * (SUB_PIXELS - right) + v11 * right;
        target[to + k] = (upper * (SUB_PIXELS - down) + lower * down + 512) >> 10;
      }
    }
  }
}

/** Return the inverse affine, rounded in OpenCV's order of operations. */
function invertAsOpenCv([a, b, x, c, d, y]) {
  const factor = 1 / (a * d - b * c);
  const [e, f, g, h] = [d * factor, -b * factor, -c * factor, a * factor];
  return [e, f, -e * x - f * y, g, h, -g * x - h * y];
}
