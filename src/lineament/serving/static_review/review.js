// Review loop: load a face, move its landmarks, send the decision, continue with the next face.

import { View } from "./canvas.js";

const QUARTER = 0.25;
const LARGE_STEP = 2;
const GRAB_PX = 16;
const IDLE_S = 30;
const get = (id) => document.getElementById(id);
const canvas = get("canvas");
const view = new View(canvas);
const state = {
  review: null, number: 0, face: null, image: null, chosen: 0, done: [], undone: [], isSaving: false,
};
const clock = { seconds: 0, last: 0 };
let dragged = null;

async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => null);
  throw new Error(problem?.error?.message ?? `${response.status} ${response.statusText}`);
}

function fail(error) {
  const gone = error instanceof TypeError;
  get("error").textContent = gone ? "The server does not respond; restart it." : error.message;
}

function imageOf(number) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`The image of face ${number + 1} cannot be read.`));
    image.src = `api/faces/${number}/image`;
  });
}

// only time with user activity is counted, so that breaks are excluded

function tick() {
  const now = performance.now() / 1000;
  clock.seconds += Math.min(now - clock.last, IDLE_S);
  clock.last = now;
}

async function open(number) {
  get("error").textContent = "";
  state.number = number;
  state.face = null;
  try {
    const [face, image] = await Promise.all([ask(`api/faces/${number}`), imageOf(number)]);
    if (state.number !== number) return;
    Object.assign(state, { face, image, done: [], undone: [] });
    const xs = face.start.map((p) => p[0]);
    const ys = face.start.map((p) => p[1]);
    face.box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    view.fit(face);
    clock.seconds = 0;
    clock.last = performance.now() / 1000;
  } catch (error) {
    fail(error);
  }
  show();
}

// decisions

async function decide(status) {
  if (!state.face || state.isSaving) return;
  tick();
  const { number, face } = state;
  const decision = {
    landmarks: face.landmarks, occluded: face.occluded, status, seconds: clock.seconds,
  };
  state.isSaving = true;
  try {
    await ask(`api/faces/${number}`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(decision),
    });
  } catch (error) {
    fail(error);
    return;
  } finally {
    state.isSaving = false;
  }
  state.review.faces[number].status = status;
  // the reviewer may already have gone to another face
  if (state.number === number) await open(nextOpen(number));
  else show();
}

function nextOpen(number) {
  const { faces } = state.review;
  for (let step = 1; step <= faces.length; step += 1) {
    const next = (number + step) % faces.length;
    if (!faces[next].status) return next;
  }
  return number;
}

function turn(step) {
  const count = state.review.faces.length;
  open((state.number + step + count) % count);
}

// editing of landmarks

function snapshot() {
  const { landmarks, occluded } = state.face;
  return { landmarks: landmarks.map((p) => [...p]), occluded: [...occluded] };
}

function change(act) {
  if (!state.face) return;
  state.done.push(snapshot());
  state.undone = [];
  act(state.face);
  show();
}

function stepBack(from, to) {
  if (!state.face || !from.length) return;
  to.push(snapshot());
  Object.assign(state.face, from.pop());
  show();
}

function moveChosen(dx, dy) {
  change((face) => {
    const point = face.landmarks[state.chosen];
    point[0] += view.mirrored ? -dx : dx;
    point[1] += dy;
  });
}

function swapSides(face) {
  const { mirror } = state.review;
  face.landmarks = mirror.map((i) => face.landmarks[i]);
  face.occluded = mirror.map((i) => face.occluded[i]);
}

function choose(index) {
  const count = state.review.points.length;
  state.chosen = (index + count) % count;
  show();
}

function toggle(name) {
  view.shown[name] = !view.shown[name];
  show();
}

const ACTS = {
  accept: () => decide("accepted"),
  refuse: () => decide("not a face"),
  previous: () => turn(-1),
  next: () => turn(1),
  occlude: () => change((face) => { face.occluded[state.chosen] = !face.occluded[state.chosen]; }),
  take: () => {
    if (!state.face?.second) return;
    change((face) => { face.landmarks[state.chosen] = [...face.second[state.chosen]]; });
  },
  undo: () => stepBack(state.done, state.undone),
  redo: () => stepBack(state.undone, state.done),
  reset: () => change((face) => { face.landmarks = face.start.map((p) => [...p]); }),
  swap: () => change(swapSides),
  mirror: () => { view.mirrored = !view.mirrored; show(); },
  comparison: () => toggle("comparison"),
  sigma: () => toggle("sigma"),
  edges: () => toggle("edges"),
  fit: () => { if (state.face) view.fit(state.face); show(); },
};
const KEYS = {
  Enter: "accept", Delete: "refuse", "[": "previous", "]": "next", h: "occlude", t: "take",
  z: "undo", y: "redo", r: "reset", x: "swap", m: "mirror", c: "comparison", s: "sigma",
  e: "edges", 0: "fit",
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  const inField = event.target instanceof HTMLSelectElement;
  const onButton = event.target.matches?.("button, summary");
  if (event.altKey || event.metaKey || !state.review || inField) return;
  if (event.ctrlKey && !["z", "y"].includes(event.key)) return;
  if (onButton && ["Enter", " "].includes(event.key)) return;
  // a key that is held down decides on one face, not on all that follow
  if (event.repeat && ["Enter", "Delete"].includes(event.key)) return;
  tick();
  const middle = [canvas.clientWidth / 2, canvas.clientHeight / 2];
  if (event.key in ARROWS) {
    const step = event.shiftKey ? LARGE_STEP : QUARTER;
    moveChosen(...ARROWS[event.key].map((sign) => sign * step));
  } else if (event.key === "n") choose(state.chosen + 1);
  else if (event.key === "p") choose(state.chosen - 1);
  else if (event.key === "+" || event.key === "-") {
    view.zoom(event.key === "+" ? 1.25 : 0.8, middle);
    show();
  } else if (event.key === " ") {
    view.bare = true;
    show();
  } else if (event.key in KEYS) ACTS[KEYS[event.key]]();
  else return;
  event.preventDefault();
}

function onKeyUp(event) {
  if (event.key !== " ") return;
  view.bare = false;
  show();
}

// pointer events: drag a landmark near the pointer, otherwise the image

function placeOf(event) {
  const { left, top } = canvas.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

function nearest(place) {
  let best = { index: -1, distance: GRAB_PX };
  state.face.landmarks.forEach((point, index) => {
    const [x, y] = view.toCanvas(point);
    const distance = Math.hypot(x - place[0], y - place[1]);
    if (distance < best.distance) best = { index, distance };
  });
  return best.index;
}

function onDown(event) {
  if (!state.face || event.button !== 0) return;
  tick();
  canvas.setPointerCapture(event.pointerId);
  const place = placeOf(event);
  const index = nearest(place);
  dragged = { index, place, before: null };
  if (index < 0) return;
  const at = view.toImage(place);
  const point = state.face.landmarks[index];
  dragged.offset = [point[0] - at[0], point[1] - at[1]];
  choose(index);
}

function onMove(event) {
  if (!dragged || !state.face) return;
  const place = placeOf(event);
  if (dragged.index < 0) {
    view.pan(place[0] - dragged.place[0], place[1] - dragged.place[1]);
    dragged.place = place;
  } else {
    if (!dragged.before) {
      dragged.before = snapshot();
      state.done.push(dragged.before);
      state.undone = [];
    }
    const at = view.toImage(place);
    state.face.landmarks[dragged.index] = [at[0] + dragged.offset[0], at[1] + dragged.offset[1]];
  }
  show();
}

function onUp() {
  dragged = null;
  tick();
}

function onWheel(event) {
  if (!state.face) return;
  tick();
  event.preventDefault();
  view.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, placeOf(event));
  show();
}

// display

function write(id, text) {
  // screen readers announce the text whenever it is set
  if (get(id).textContent !== text) get(id).textContent = text;
}

function onResize() {
  if (state.face && view.isFitted) view.fit(state.face);
  show();
}

function show() {
  const { review, face, number, chosen } = state;
  view.draw(face, state.image, review.edges, chosen);
  const done = review.faces.filter((each) => each.status).length;
  const left = review.faces.length - done;
  get("bar").value = done / review.faces.length;
  const rest = left ? `${left} left` : "all reviewed";
  const position = `Face ${number + 1} of ${review.faces.length}`;
  write("progress", `${position}; ${rest} (${review.reviewer}, ${review.scheme})`);
  get("faces").value = number;
  for (const [index, option] of [...get("faces").options].entries()) {
    const { name, status } = review.faces[index];
    const text = `${{ accepted: "✓", "not a face": "✗" }[status] ?? "·"} ${name}`;
    if (option.text !== text) option.text = text;
  }
  for (const name of ["comparison", "sigma", "edges"]) {
    get(name).setAttribute("aria-pressed", String(view.shown[name]));
  }
  get("mirror").setAttribute("aria-pressed", String(view.mirrored));
  for (const name of ["accept", "refuse", "occlude", "reset", "swap"]) get(name).disabled = !face;
  get("undo").disabled = !state.done.length;
  get("redo").disabled = !state.undone.length;
  get("take").disabled = get("comparison").disabled = !face?.second;
  get("sigma").disabled = !face || face.sigma_px.every((value) => value === null);
  if (face) showFace(face, chosen);
}

function showFace(face, chosen) {
  const facts = [`${face.image}, ${face.image_size.join(" × ")} px`];
  if (face.doubt !== undefined) facts.push(`ranking score ${face.doubt.toPrecision(3)}`);
  if (face.status) facts.push(face.status);
  get("facts").textContent = facts.join("; ");
  get("points").value = chosen;
  const [x, y] = face.landmarks[chosen];
  const [x0, y0] = face.start[chosen];
  const details = [`x ${x.toFixed(2)}, y ${y.toFixed(2)}`];
  details.push(`moved ${Math.hypot(x - x0, y - y0).toFixed(2)} px`);
  if (face.sigma_px[chosen] !== null) details.push(`sigma ${face.sigma_px[chosen].toFixed(2)} px`);
  if (face.second) {
    const [u, v] = face.second[chosen];
    details.push(`comparison ${Math.hypot(x - u, y - v).toFixed(2)} px away`);
  }
  write("point", details.join("; "));
  get("occlude").setAttribute("aria-pressed", String(face.occluded[chosen]));
}

async function begin() {
  try {
    state.review = await ask("api/review");
  } catch (error) {
    fail(error);
    return;
  }
  state.review.points.forEach((name, index) => {
    get("points").add(new Option(`${index} ${name}`, String(index)));
  });
  state.review.faces.forEach((face, index) => {
    get("faces").add(new Option(face.name, String(index)));
  });
  for (const [id, act] of Object.entries(ACTS)) {
    get(id).addEventListener("click", () => { tick(); act(); });
  }
  get("points").addEventListener("change", (event) => {
    choose(Number(event.target.value));
    canvas.focus();
  });
  get("faces").addEventListener("change", (event) => {
    open(Number(event.target.value));
    canvas.focus();
  });
  document.addEventListener("keydown", onKey);
  document.addEventListener("keyup", onKeyUp);
  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", onUp);
  canvas.addEventListener("pointercancel", onUp);
  canvas.addEventListener("wheel", onWheel, { passive: false });
  new ResizeObserver(onResize).observe(canvas);
  await open(nextOpen(state.review.faces.length - 1));
  canvas.focus();
}

begin();
