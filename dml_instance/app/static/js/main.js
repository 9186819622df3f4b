// Puts the parts of the page together.

import { acts } from "./acts.js";
import { ask, picture } from "./api.js";
import { draw } from "./drawing.js";
import { openExport, watchFiles } from "./files.js";
import { watchKeys } from "./keys.js";
import { openLearning, watchLearning } from "./learning.js";
import { showImages, showObjects, showSettings, showWhy, watchPanels } from "./panels.js";
import { watchPointer } from "./pointer.js";
import { changed, onChange, prepared, state } from "./state.js";
import { busy, say } from "./status.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const context = canvas.getContext("2d");
const view = new View(canvas);

async function refresh() {
  state.project = await ask("/api/project");
  changed();
}

async function open(index) {
  const done = busy("the model looks at the image ...");
  try {
    const isOther = state.image?.index !== index || !state.bitmap;
    const [info, bitmap] = await Promise.all([
      ask(`/api/images/${index}`),
      isOther ? picture(`/api/images/${index}/pixels`).then(([pixels]) => pixels) : state.bitmap,
    ]);
    state.image = info;
    state.bitmap = bitmap;
    state.objects = new Map(info.objects.map((item) => [item.id, prepared(item)]));
    state.selected.clear();
    state.preview = state.alike = state.seeds = null;
    $("seeds").checked = false;
    Object.assign(state.project.images[index], {
      objects: state.objects.size, seen: true, corrected: info.corrected, complete: info.complete,
    });
    if (isOther) fit();
    window.history.replaceState(null, "", `#${index}`);
    say(`${info.width} x ${info.height} pixels, ${state.objects.size} objects`);
  } catch (error) {
    say(error.message, true);
  } finally {
    done();
  }
  changed();
}

async function reload() {
  await refresh();
  if (state.image) await open(state.image.index);
}

function fit() {
  if (state.image) view.fit(state.image, state.compare ? 2 : 1);
  changed();
}

onChange(() => {
  view.resize();
  draw(context, view, state);
  if (!state.project) return;
  showSettings();
  showWhy();
});

// Lists are long: they are made anew only where what they show has changed.
let shown = "";
onChange(() => {
  if (!state.project) return;
  const key = JSON.stringify([
    state.project.images, state.image?.index, [...state.selected],
    [...state.objects.values()].map((item) => [item.id, item.class, item.area, item.score]),
  ]);
  if (key === shown) return;
  shown = key;
  showImages(open);
  showObjects();
});

new ResizeObserver(() => {
  const isFirst = canvas.width <= 300;
  if (view.resize() && isFirst) fit();
  changed();
}).observe($("stage"));

for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => {
    state.tool = button.dataset.tool;
    if (state.tool !== "why") state.alike = null;
    changed();
  });
}
for (const [id, work] of [
  ["merge", acts.merge], ["delete", acts.remove], ["undo", acts.undo], ["redo", acts.redo],
  ["fit", fit], ["segment", acts.segment], ["open-help", () => $("help").showModal()],
]) $(id).addEventListener("click", work);
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

watchPointer(canvas, context, view, acts);
watchPanels();
watchKeys({ open, fit, dialogs: { learn: openLearning, export: openExport } });
watchFiles({ open, refresh });
watchLearning({ open, reload, fit });

try {
  await refresh();
  const wanted = Number(window.location.hash.slice(1));
  if (state.project.images.length) {
    await open(wanted < state.project.images.length ? wanted : 0);
  } else {
    say("drop images on the page, or press + to add some");
  }
} catch (error) {
  say(error.message, true);
}
// For tests that watch the page from outside.
window.dml = { state, view };
