// Results as JSON and CSV in the formats of the Python package.

const POINT_COLUMNS = ["x", "y", "score", "sigma_px", "visible"];

/** Return a result as a line of JSON that the Python function `faces_from_json` can read. */
export function toJson({ image_size: _, ...result }) {
  const text = JSON.stringify(result);
  // ASCII only, as in Python
  return text.replace(/[\u007f-\uffff]/g, (letter) => {
    return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Return results as CSV, one row per face, with the same columns as Python's `write_csv`. */
export function toCsv(results) {
  const points = results.flatMap((result) => result.faces)[0]?.landmarks.length ?? 0;
  const head = ["image", "face", "scheme", "track_id", "score", "presence"];
  head.push("box_x0", "box_y0", "box_x1", "box_y1");
  for (let i = 0; i < points; i++) head.push(...POINT_COLUMNS.map((name) => `${name}_${i}`));
  const rows = results.flatMap((result) => {
    return result.faces.map((face, number) => csvRow(result, face, number));
  });
  return [head, ...rows].map((row) => `${row.map(csvCell).join(",")}\n`).join("");
}

function csvRow({ image, scheme }, face, number) {
  const row = [image, number, scheme, "", face.score, face.presence ?? "nan", ...face.box];
  face.landmarks.forEach(([x, y], i) => {
    row.push(x, y, face.scores[i], face.sigma_px[i] ?? "nan", face.visible?.[i] ?? "nan");
  });
  return row;
}

function csvCell(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
