// Times the networks of a page in node, and frames of a video: node page_times.mjs PAGE... ROUNDS.
// Prints {page: {name: [ms, ...]}}; the pages take turns, so that all meet the same load.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const pages = process.argv.slice(2, -1);
const rounds = Number(process.argv.at(-1));
const [width, height] = [640, 480];
const frame = { data: new Uint8ClampedArray(readFileSync(0)), width, height };
const times = {};
const calls = [];
for (const page of pages) {
  const { load } = await import(pathToFileURL(`${page}/lineament.js`));
  times[page] = {};
  for (const model of ["fast", "accurate"]) {
    const lineament = await load({ model });
    const { faces } = await lineament.track(frame);
    if (!faces.length) throw new Error("no face in the frame");
    const boxes = [faces[0].box];
    calls.push([page, `${model}, a face`, () => lineament.detect(frame, { boxes })]);
    if (model !== "fast") continue;
    calls.push([page, "detector", () => lineament.detector.candidates(rgb(), frame, 0.3)]);
    calls.push([page, "camera, 10 frames", () => track(lineament)]);
  }
}

function rgb() {
  return { data: new Uint8Array(width * height * 3).fill(90), width, height };
}

async function track(lineament) {
  lineament.reset();
  for (let k = 0; k < 10; k++) await lineament.track(frame);
}

for (let round = 0; round < rounds; round++) {
  for (const [page, name, call] of calls) {
    const start = performance.now();
    await call();
    (times[page][name] ??= []).push(performance.now() - start);
  }
}
process.stdout.write(JSON.stringify(times));
