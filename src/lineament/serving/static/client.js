// Client for calling worker.js from a page.

/**
 * Start a worker; its `ask(call, args, transfer)` returns the result.
 *
 * @param {(part: number) => void} onProgress Called with 0 to 1 while models are loading.
 */
export function startWorker(onProgress) {
  // a worker created from a blob inherits the page's Content-Security-Policy; from a file it would not
  const code = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const worker = new Worker(address, { type: "module" });
  const waiting = new Map();
  let last = 0;
  const fail = (message) => {
    for (const { reject } of waiting.values()) reject(new Error(message));
    waiting.clear();
  };
  worker.addEventListener("error", (event) => fail(event.message || "the worker cannot start"));
  worker.addEventListener("message", ({ data: { id, value, error, progress } }) => {
    if (progress !== undefined) {
      onProgress(progress);
      return;
    }
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(error));
  });
  return {
    ask(call, args, transfer = []) {
      const id = ++last;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, call, args }, transfer);
      });
    },
    stop() {
      worker.terminate();
      URL.revokeObjectURL(address);
      fail("another model was chosen");
    },
  };
}
