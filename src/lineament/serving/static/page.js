// The page: opens images, shows and saves results. worker.js finds the faces.

import { startCamera } from "./camera.js";
import { startWorker } from "./client.js";
import { drawFaces } from "./draw.js";
import { toCsv, toJson } from "./tables.js";

const $ = (id) => document.getElementById(id);
const DRAWN = ["points", "edges", "boxes", "sigmas", "numbers"];
const KEYS = { p: "points", l: "edges", b: "boxes", u: "sigmas", n: "numbers", o: "choose", c: "camera" };
const ZOOM_PX = 800; // smallest side of the canvas that shows one face
const ZOOM_BOX = 1.6; // its part of the image, in sides of the box

const canvas = $("canvas");
/** Opened images in order: {name, file, result, error}. */
const images = [];
let current = -1;
let client = null;
let card = null;
let stopCamera = null;
/** Image and result on the canvas, and the number of the face it is zoomed to: {source, result, zoomed}. */
let shown = null;
let searches = Promise.resolve();

function say(text, isError = false) {
  // screen readers announce the text whenever it is set
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").classList.toggle("bad", isError);
}

const plural = (count, noun) => `${count || "no"} ${noun}${count === 1 ? "" : "s"}`;

async function openModel(name) {
  client?.stop();
  card = null;
  if (shown) shown.result = null; // its points may not be those of the new model
  $("progress").hidden = false;
  say("Loading the models …");
  client = startWorker((part) => ($("progress").value = part));
  const usedClient = client;
  try {
    card = await client.ask("load", { model: name });
  } catch (error) {
    if (usedClient !== client) return;
    $("progress").hidden = true;
    say(`The models cannot be loaded: ${error.message}`, true);
    return;
  }
  $("progress").hidden = true;
  $("license").textContent = `Model “${card.name}”: ${card.license}`;
  $("limits").textContent = card.limits;
  say("Ready.");
  for (const image of images) image.result = image.error = null;
  await search();
}

/** Find the faces in every image without a result, one image at a time. */
function search() {
  searches = searches.then(searchAll);
  return searches;
}

async function searchAll() {
  const usedClient = client;
  for (const image of [...images]) {
    if (!card || image.result || image.error) continue;
    say(`Searching ${image.name} …`);
    try {
      image.result = await usedClient.ask("detect", { image: image.file, name: image.name });
    } catch (error) {
      if (usedClient !== client) return; // another model was selected
      image.error = error.message;
    }
    if (image === images[current] && !stopCamera) await showCurrent();
    else listImages();
  }
  sayCurrent();
}

/** Show the status of the current image. */
function sayCurrent() {
  const image = images[current];
  if (!image || stopCamera) return;
  if (image.error) say(`${image.name}: ${image.error}.`, true);
  else if (image.result) say(`${image.name}: ${plural(image.result.faces.length, "face")}.`);
}

function addFiles(files) {
  const added = [...files].filter((file) => !file.type || file.type.startsWith("image/"));
  if (!added.length) {
    if (files.length) say(`${files[0].name}: not an image.`, true);
    return;
  }
  stopCamera?.();
  for (const file of added) images.push({ name: file.name, file, result: null, error: null });
  current = images.length - added.length;
  showCurrent();
  search();
}

async function showCurrent() {
  listImages();
  const image = images[current];
  if (!image) {
    show(null, null);
    return;
  }
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(image.file, { colorSpaceConversion: "none" });
  } catch {
    image.error ??= "not an image that can be opened";
  }
  if (images[current] !== image) return; // another image was selected in the meantime
  show(bitmap, image.result);
  sayCurrent();
}

function listImages() {
  const listed = [...$("images").querySelectorAll("button")];
  const focused = listed.indexOf(document.activeElement);
  $("images").hidden = images.length < 2;
  const items = images.map((image, index) => {
    const button = document.createElement("button");
    const count = image.result ? plural(image.result.faces.length, "face") : "…";
    button.textContent = `${image.name} · ${image.error ? "error" : count}`;
    button.setAttribute("aria-current", String(index === current));
    button.addEventListener("click", () => choose(index));
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  $("images").replaceChildren(...items);
  if (focused >= 0) items[Math.min(focused, items.length - 1)]?.firstChild.focus();
  $("remove").hidden = !images.length;
  const results = images.filter((image) => image.result);
  for (const id of ["json", "csv"]) $(id).disabled = !results.length;
  $("png").disabled = !images[current]?.result;
}

function choose(index) {
  // showing the current image again would undo a zoom
  if (!images[index] || (index === current && !stopCamera)) return;
  stopCamera?.();
  current = index;
  showCurrent();
}

function remove() {
  images.splice(current, 1);
  current = Math.min(current, images.length - 1);
  showCurrent();
  if (!images.length) say("Ready.");
}

/** Show an image or frame, with its faces if known. */
function show(source, result) {
  if (shown && shown.source !== source) shown.source.close();
  shown = source && { source, result };
  $("stage").classList.toggle("empty", !source);
  $("hint").hidden = Boolean(source);
  canvas.hidden = !source;
  describe(result);
  draw();
}

function draw() {
  if (!shown) return;
  const { source, result } = shown;
  const { left, top, width, height, factor } = shownPart();
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.setTransform(factor, 0, 0, factor, -factor * left, -factor * top);
  context.clearRect(left, top, width / factor, height / factor);
  context.drawImage(source, 0, 0);
  if (!result || !card) return;
  const options = { scale: canvas.width / (canvas.clientWidth || canvas.width) / factor };
  for (const name of DRAWN) options[name] = $(name).checked;
  options.faceNumbers = options.boxes && result.faces.length > 1;
  drawFaces(context, result.faces, card, options);
}

/** The part of the image to show: its corner, the canvas's size, and canvas pixels per image pixel. */
function shownPart() {
  const { source, result, zoomed } = shown;
  const face = result?.faces[zoomed];
  if (!face) return { left: 0, top: 0, width: source.width, height: source.height, factor: 1 };
  const [x0, y0, x1, y1] = face.box;
  const side = ZOOM_BOX * Math.max(x1 - x0, y1 - y0, 1);
  const factor = Math.max(1, ZOOM_PX / side);
  const size = Math.round(side * factor);
  return { left: (x0 + x1 - side) / 2, top: (y0 + y1 - side) / 2, width: size, height: size, factor };
}

/** Show one face, or the whole image if there is no face of that number. */
function zoom(number) {
  if (!shown || stopCamera) return;
  shown.zoomed = number;
  for (const [index, button] of [...$("faces").querySelectorAll("button")].entries()) {
    button.setAttribute("aria-pressed", String(index === number));
  }
  draw();
}

function zoomButton(number) {
  const button = document.createElement("button");
  button.textContent = number;
  button.setAttribute("aria-label", `Zoom to face ${number}`);
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => zoom(shown.zoomed === number ? undefined : number));
  return button;
}

function zoomNext() {
  const next = (shown?.zoomed ?? -1) + 1;
  zoom(shown?.result?.faces[next] ? next : undefined);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** List the faces in the table, and describe them for screen readers. */
function describe(result) {
  const faces = result?.faces ?? [];
  $("faces").hidden = !faces.length;
  const rows = faces.map((face, number) => {
    const row = document.createElement("tr");
    const seen = face.visible?.filter((value) => value >= 0.5).length;
    // frames of the camera follow each other too fast for a button
    row.insertCell().append(stopCamera ? number : zoomButton(number));
    const cells = [
      face.score.toFixed(2),
      face.presence?.toFixed(2) ?? "",
      mean(face.sigma_px.filter((value) => value !== null)).toFixed(1),
      seen === undefined ? "" : `${seen} of ${face.landmarks.length}`,
      face.box.map((side) => side.toFixed(0)).join(", "),
    ];
    for (const text of cells) row.insertCell().textContent = text;
    return row;
  });
  $("faces").tBodies[0].replaceChildren(...rows);
  const places = faces.map((face) => {
    const x = (face.box[0] + face.box[2]) / 2 / result.image_size[0];
    const y = (face.box[1] + face.box[3]) / 2 / result.image_size[1];
    return `one ${(100 * x).toFixed(0)} % from the left and ${(100 * y).toFixed(0)} % from the top`;
  });
  const label = [plural(faces.length, "face"), ...places].join(", ");
  canvas.setAttribute("aria-label", result ? label : "Image in progress");
}

function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const stem = (name) => name.replace(/\.[^.]*$/, "") || "faces";

function saveJson() {
  const results = images.filter((image) => image.result).map((image) => image.result);
  const name = results.length === 1 ? `${stem(results[0].image)}.json` : "faces.jsonl";
  save(name, results.map((result) => `${toJson(result)}\n`).join(""), "application/json");
}

function saveCsv() {
  const results = images.filter((image) => image.result).map((image) => image.result);
  save("faces.csv", toCsv(results), "text/csv");
}

function savePng() {
  const name = stopCamera ? "camera" : stem(images[current].name);
  canvas.toBlob((blob) => save(`${name}-faces.png`, blob, "image/png"), "image/png");
}

async function toggleCamera() {
  if (stopCamera) {
    stopCamera();
    return;
  }
  if (!card) return;
  const button = $("camera");
  button.setAttribute("aria-pressed", "true");
  const stop = startCamera(client, {
    onFrame: (source, result, rate) => {
      if (stop !== stopCamera) return;
      show(source, result);
      $("png").disabled = false;
      say(`Camera: ${plural(result.faces.length, "face")}.`);
      // the first frame has no rate
      $("rate").textContent = rate ? `${plural(Math.max(1, Math.round(rate)), "frame")} per second` : "";
    },
    onEnd: (error) => {
      if (stopCamera === stop) stopCamera = null;
      button.setAttribute("aria-pressed", "false");
      $("rate").textContent = "";
      say(error ? `The camera cannot be used: ${error.message}` : "Camera off.", Boolean(error));
      if (!error) showCurrent();
    },
  });
  stopCamera = stop;
}

function onKey(event) {
  const isTyping = event.target.matches?.("select, input:not([type=checkbox])");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const id = KEYS[event.key];
  if (id) $(id).click();
  else if (event.key === "ArrowLeft") choose(current - 1);
  else if (event.key === "ArrowRight") choose(current + 1);
  else if (event.key === "Delete" && current >= 0) remove();
  else if (event.key === "f") zoomNext();
  else return;
  event.preventDefault();
}

function listen() {
  $("choose").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", (event) => {
    addFiles(event.target.files);
    event.target.value = "";
  });
  $("camera").addEventListener("click", toggleCamera);
  $("remove").addEventListener("click", remove);
  $("model").addEventListener("change", (event) => {
    stopCamera?.();
    openModel(event.target.value);
  });
  $("json").addEventListener("click", saveJson);
  $("csv").addEventListener("click", saveCsv);
  $("png").addEventListener("click", savePng);
  for (const name of DRAWN) $(name).addEventListener("change", draw);
  addEventListener("keydown", onKey);
  addEventListener("resize", draw);
  addEventListener("paste", (event) => addFiles(event.clipboardData.files));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("stage").classList.add("over");
  });
  addEventListener("dragleave", () => $("stage").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
    addFiles(event.dataTransfer.files);
  });
}

async function start() {
  listen();
  const response = await fetch("models.json");
  const { models, runtime } = await response.json();
  for (const name of Object.keys(models)) $("model").add(new Option(name));
  $("runtime").textContent = `The models are run by ${runtime.name} (MIT license).`;
  await openModel($("model").value);
}

start().catch((error) => say(`The page cannot start: ${error.message}`, true));
