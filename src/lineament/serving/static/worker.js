// Runs lineament.js in a web worker, so that the page stays responsive.
// A message {id, call, args} is answered by {id, value} or {id, error}.

import { load } from "./lineament.js";

let lineament;

const calls = {
  async load({ model }) {
    const onProgress = (done, total) => postMessage({ progress: done / total });
    lineament = await load({ model, onProgress });
    return lineament.card;
  },
  detect: ({ image, name }) => lineament.detect(image, { name }),
  async track({ image, isFirst }) {
    if (isFirst) lineament.reset();
    const result = await lineament.track(image);
    image.close();
    return result;
  },
};

addEventListener("message", async ({ data: { id, call, args } }) => {
  try {
    postMessage({ id, value: await calls[call](args) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});
