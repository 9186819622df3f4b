// What people do to the open image, by the server; one act after the other.

import { act, ask, picture } from "./api.js";
import { applyEdit, changed, prepared, state } from "./state.js";
import { busy, say } from "./status.js";

let queue = Promise.resolve();

// Acts wait for one another, so that each sees what the one before has done.
function inTurn(work) {
  const index = state.image?.index;
  queue = queue.then(async () => {
    if (!state.image || state.image.index !== index) return;
    const done = busy("the model looks at the image ...");
    try {
      await work(`/api/images/${index}`);
    } catch (error) {
      say(error.message, true);
    } finally {
      done();
    }
  });
  return queue;
}

// An object with another threshold is another object: who asked for the one before means this.
const successors = new Map();

function current(index, id) {
  let latest = id;
  while (successors.has(`${index}/${latest}`)) latest = successors.get(`${index}/${latest}`);
  return latest;
}

const chosen = () => [...state.selected];
const edit = async (path, name, content) => applyEdit(await act(`${path}/${name}`, content));

function choose(ids) {
  state.selected = new Set(ids);
}

export const acts = {
  select(id, isMore) {
    if (!isMore) choose([id]);
    else if (!state.selected.delete(id)) state.selected.add(id);
    changed();
  },

  grow: ([row, column]) => inTurn(async (path) => {
    const started = performance.now();
    const found = await act(`${path}/grow`, { row, column, class: state.className });
    applyEdit(found);
    choose(found.added.map((item) => item.id));
    const [item] = found.added;
    const doubt = item.score < 0.05 ? "; the model takes this place for background" : "";
    say(`${item.class}, ${item.area} pixels${doubt}, in ${Math.round(performance.now() - started)} ms`);
  }),

  preview: (id, tau) => inTurn(async (path) => {
    const asked = { id: current(state.image.index, id), tau, keep: false };
    const found = await act(`${path}/regrow`, asked);
    state.preview = prepared(found.preview);
    say(`${found.preview.area} pixels`);
    changed();
  }),

  regrow: (id, tau) => inTurn(async (path) => {
    const { index } = state.image;
    const latest = current(index, id);
    const found = await act(`${path}/regrow`, { id: latest, tau, keep: true });
    const wasChosen = state.selected.has(latest);
    applyEdit(found);
    const [item] = found.added;
    successors.set(`${index}/${latest}`, item.id);
    if (wasChosen) state.selected.add(item.id);
    say(`${item.area} pixels`);
  }),

  paint: (points, erase) => inTurn(async (path) => {
    const [id] = state.selected.size === 1 ? chosen() : [null];
    if (erase && id === null) {
      say("choose the object to take pixels from: click on it first", true);
      return;
    }
    const found = await act(`${path}/paint`, {
      id, points, radius: state.radius, erase, class: state.className ?? state.project.classes[0],
    });
    applyEdit(found);
    choose(found.added.map((item) => item.id));
  }),

  cut: (points, under) => inTurn(async (path) => {
    const [id] = state.selected.size === 1 ? chosen() : [under?.id ?? null];
    if (id === null) {
      say("draw the line across an object, or choose one first", true);
      return;
    }
    const found = await act(`${path}/cut`, { id, points });
    applyEdit(found);
    choose(found.added.map((item) => item.id));
    say(`cut into ${found.added.length}`);
  }),

  merge: () => inTurn(async (path) => {
    const found = await act(`${path}/merge`, { ids: chosen() });
    applyEdit(found);
    choose(found.added.map((item) => item.id));
  }),

  remove: () => inTurn((path) => edit(path, "delete", { ids: chosen() })),

  setClass: (name) => inTurn(async (path) => {
    const found = await act(`${path}/class`, { ids: chosen(), class: name });
    applyEdit(found);
    choose(found.added.map((item) => item.id));
  }),

  undo: () => inTurn((path) => edit(path, "undo")),
  redo: () => inTurn((path) => edit(path, "redo")),
  segment: () => inTurn((path) => edit(path, "segment")),
  complete: (value) => inTurn((path) => edit(path, "complete", { value })),

  why: ([row, column]) => inTurn(async (path) => {
    const told = await ask(`${path}/why`, { row, column });
    const [bitmap, cell] = await picture(`${path}/similarity`, { row, column }, "x-cell");
    const [high, wide] = cell.split(" ").map(Number);
    state.alike = {
      bitmap, width: bitmap.width * wide, height: bitmap.height * high, point: [row, column], told,
    };
    changed();
  }),

  seeds: (isShown) => inTurn(async (path) => {
    state.seeds = isShown ? (await ask(`${path}/seeds`)).seeds : null;
    changed();
  }),

  compare: () => inTurn(async (path) => {
    const found = await ask(`${path}/compare`);
    state.compare = {
      before: found.before.map(prepared), after: found.after.map(prepared),
    };
    changed();
  }),
};
