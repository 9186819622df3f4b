// All that the page knows, in one place; whoever changes it says so, and others redraw.

export const state = {
  project: null,      // images, classes, model
  image: null,        // the one that is open: index, width, height, undo, redo, complete
  bitmap: null,       // its pixels
  objects: new Map(), // by number
  selected: new Set(),
  tool: "grow",       // grow, cut, why
  className: null,    // of new objects; null: what the model finds likeliest
  radius: 8,          // of the brush, in pixels of the image
  fill: true,
  names: true,
  seeds: null,        // accounts of seeds, or null where they are not shown
  alike: null,        // {bitmap, width, height, point} of a similarity map
  preview: null,      // an object with another threshold, not kept yet
  line: null,         // points that are being drawn: {kind, points}
  cursor: null,       // (row, column)
  brushing: null,     // what the brush would do: add, erase
  compare: null,      // {before, after}: objects of two models
};

const listeners = [];

export function onChange(listener) {
  listeners.push(listener);
}

let isWaiting = false;

export function changed() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    for (const listener of listeners) listener(state);
  });
}

// An object of the server with what drawing wants.
export function prepared(item) {
  const path = new Path2D();
  for (const line of item.outline) {
    path.moveTo(line[0], line[1]);
    for (let i = 2; i < line.length; i += 2) path.lineTo(line[i], line[i + 1]);
    path.closePath();
  }
  return { ...item, path, color: `hsl(${(item.id * 137.508) % 360} 80% 60%)` };
}

// Take over what an act has changed.
export function applyEdit(edit) {
  for (const id of edit.removed) {
    state.objects.delete(id);
    state.selected.delete(id);
  }
  for (const item of edit.added) state.objects.set(item.id, prepared(item));
  Object.assign(state.image, {
    undo: edit.undo, redo: edit.redo, complete: edit.complete, corrected: edit.corrected,
  });
  const entry = state.project.images[state.image.index];
  Object.assign(entry, {
    objects: state.objects.size, seen: true, corrected: edit.corrected, complete: edit.complete,
  });
  state.preview = null;
  changed();
}
