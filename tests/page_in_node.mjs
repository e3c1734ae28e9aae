// Runs lineament.js in node: node page_in_node.mjs PAGE JOB.json; prints JSON.
// A job: {model, images: [{file, width, height, boxes}], track}; files are raw RGBA.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [page, jobFile] = process.argv.slice(2);
const { load } = await import(pathToFileURL(`${page}/lineament.js`));
const job = JSON.parse(readFileSync(jobFile));
const lineament = await load({ model: job.model });
const results = [];
for (const { file, width, height, boxes } of job.images) {
  const image = { data: new Uint8ClampedArray(readFileSync(file)), width, height };
  const result = job.track
    ? await lineament.track(image)
    : await lineament.detect(image, { boxes, name: file });
  results.push(result);
}
process.stdout.write(JSON.stringify(results));
