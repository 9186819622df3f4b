// What the mouse or a pen does on the canvas.

import { storyOf } from "./panels.js";
import { changed, state } from "./state.js";
import { say } from "./status.js";

const UNITS = 4;
const CLICK = 4; // a pointer that moved by fewer pixels has clicked

export function watchPointer(canvas, context, view, acts) {
  let held = null; // {kind, x, y, moved}
  let isSpace = false;
  const columns = () => (state.compare ? 2 : 1);

  function under([row, column]) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    const hit = [...state.objects.values()].filter((item) =>
      context.isPointInPath(item.path, column * UNITS, row * UNITS, "evenodd"));
    return hit.sort((a, b) => a.area - b.area)[0] ?? null;
  }

  // The account of the seed under the pointer, where seeds are shown.
  function tellOfSeed([row, column]) {
    const away = (seed) => Math.hypot(seed.row - row, seed.column - column) * view.zoom;
    const near = state.seeds.map((seed, index) => [away(seed), index]).sort((a, b) => a[0] - b[0])[0];
    if (near && near[0] < 8) say(storyOf(state.seeds[near[1]], near[1], "Seed"));
  }

  const brushOf = (event) => (event.shiftKey ? "add" : event.altKey ? "erase" : null);

  function hover(event) {
    state.cursor = view.pointOf(event, columns());
    state.brushing = state.compare ? null : brushOf(event);
    if (state.seeds && !held) tellOfSeed(state.cursor);
    canvas.style.cursor = isSpace || held?.kind === "pan" ? "grab" : "crosshair";
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!state.bitmap) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    const point = view.pointOf(event, columns());
    const brush = brushOf(event);
    let kind = "click";
    if (event.button !== 0 || isSpace || state.compare) kind = "pan";
    else if (brush) kind = brush;
    else if (state.tool === "cut") kind = "cut";
    held = { kind, x: event.clientX, y: event.clientY, moved: false, ctrl: event.ctrlKey || event.metaKey };
    if (kind !== "click" && kind !== "pan") state.line = { kind, points: [point] };
    event.preventDefault();
    changed();
  });

  canvas.addEventListener("pointermove", (event) => {
    hover(event);
    if (held) {
      const far = Math.hypot(event.clientX - held.x, event.clientY - held.y) >= CLICK;
      if (state.line) {
        for (const part of event.getCoalescedEvents?.() ?? [event]) {
          state.line.points.push(view.pointOf(part));
        }
      } else if (held.kind === "pan" || far || held.moved) {
        view.pan(event.movementX, event.movementY);
        held.moved = true;
      }
    }
    changed();
  });

  canvas.addEventListener("pointerup", async (event) => {
    const was = held;
    const line = state.line;
    held = null;
    state.line = null;
    if (!was) return;
    const point = view.pointOf(event, columns());
    if (line?.kind === "cut") await acts.cut(line.points, under(line.points[line.points.length >> 1]));
    else if (line) await acts.paint(line.points, line.kind === "erase");
    else if (was.kind === "click" && !was.moved) {
      if (state.tool === "why") await acts.why(point);
      else {
        const hit = under(point);
        if (hit) acts.select(hit.id, was.ctrl);
        else await acts.grow(point);
      }
    }
    changed();
  });

  canvas.addEventListener("pointercancel", () => { held = null; state.line = null; changed(); });
  canvas.addEventListener("pointerleave", () => { state.cursor = null; changed(); });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoomAt(event, 2 ** (-event.deltaY / 300), columns());
    changed();
  }, { passive: false });
  window.addEventListener("keydown", (event) => {
    if (event.code === "Space" && event.target === canvas) { isSpace = true; event.preventDefault(); }
    state.brushing = brushOf(event);
    changed();
  });
  window.addEventListener("keyup", (event) => {
    if (event.code === "Space") isSpace = false;
    state.brushing = brushOf(event);
    changed();
  });
}
