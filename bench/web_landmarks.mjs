// Runs an ONNX file in onnxruntime-web: node web_landmarks.mjs RUNTIME.mjs MODEL.onnx SIDE < CROPS > LANDMARKS
// Reads uint8 RGB crops (F, S, S, 3), writes float32 landmarks (F, N, 2) in pixels of the crop.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const BATCH = 16;
const [runtime, file, sideText] = process.argv.slice(2);
const side = Number(sideText);
const ort = await import(pathToFileURL(runtime));
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(file));
const bytes = readFileSync(0);
const step = BATCH * side * side * 3;
for (let start = 0; start < bytes.length; start += step) {
  const crops = new Uint8Array(bytes.subarray(start, start + step));
  const shape = [crops.length / (side * side * 3), side, side, 3];
  const { landmarks_crop } = await session.run({ crops: new ort.Tensor("uint8", crops, shape) });
  process.stdout.write(Buffer.from(Float32Array.from(landmarks_crop.data).buffer));
}
