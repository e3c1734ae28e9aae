// Camera frames, one at a time: the newest one is sent once the previous one is processed.

const WIDTH = 640;
const RATE_FRAMES = 20; // number of frames over which the frame rate is averaged

/**
 * Start the camera, and return a function that stops it.
 *
 * @param client The client that startWorker returned.
 * @param {object} on Callbacks onFrame(source, result, frames per second) and onEnd(error?).
 */
export function startCamera(client, { onFrame, onEnd }) {
  const state = { isOn: true, wake() {} };
  const stop = () => {
    state.isOn = false;
    state.wake();
  };
  run(client, onFrame, state).then(
    () => onEnd(),
    (error) => {
      // after a stop, the worker of the last frame may be gone
      const failure = state.isOn ? error : undefined;
      stop();
      onEnd(failure);
    },
  );
  return stop;
}

async function run(client, onFrame, state) {
  const constraints = { video: { width: { ideal: WIDTH }, facingMode: "user" }, audio: false };
  if (!navigator.mediaDevices) throw new Error("browsers allow it only over HTTPS or on localhost");
  const stream = await navigator.mediaDevices.getUserMedia(constraints);
  try {
    const video = document.createElement("video");
    video.srcObject = stream;
    video.muted = video.playsInline = true;
    const [camera] = stream.getVideoTracks();
    camera.addEventListener("ended", () => state.wake());
    await unlessWoken(state, video.play());
    const times = [];
    for (let isFirst = true; state.isOn; isFirst = false) {
      await unlessWoken(state, nextFrame(video));
      if (!state.isOn) return;
      if (camera.readyState === "ended") throw new Error("it was disconnected");
      const source = await createImageBitmap(video);
      // a copy, because the image is transferred to the worker
      const image = await createImageBitmap(source);
      const result = await client.ask("track", { image, isFirst }, [image]);
      times.push(performance.now());
      if (times.length > RATE_FRAMES) times.shift();
      const rate = (1000 * (times.length - 1)) / (times[times.length - 1] - times[0] || Infinity);
      if (state.isOn) onFrame(source, result, rate);
      else source.close();
    }
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}

/** Wait, but not longer than until `state.wake` is called: a camera may give no frame any more. */
function unlessWoken(state, wait) {
  return new Promise((resolve, reject) => {
    state.wake = resolve;
    wait.then(resolve, reject);
  });
}

/** Wait for the next new frame. */
function nextFrame(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
