// Keyboard shortcuts, and the page that lists them.

import { acts } from "./acts.js";
import { changed, state } from "./state.js";

const MOUSE = [
  ["Click on nothing", "an object grows from that point"],
  ["Click on an object", "choose it; with Ctrl several"],
  ["Shift and drag", "paint pixels to the chosen object, or a new one"],
  ["Alt and drag", "take pixels away"],
  ["Wheel, Space and drag", "zoom, move"],
];

export function watchKeys({ open, fit, dialogs }) {
  const help = document.getElementById("help");
  const setTool = (tool) => {
    state.tool = tool;
    if (tool !== "why") state.alike = null;
    changed();
  };
  const step = (by) => open(Math.min(Math.max(state.image.index + by, 0), state.project.images.length - 1));
  const nudge = (by) => {
    const [id] = state.selected;
    const item = state.objects.get(id);
    if (state.selected.size !== 1 || !item.point) return;
    acts.regrow(id, Math.min(Math.max(item.tau + by, 0.01), 0.99));
  };
  const brush = (factor) => {
    state.radius = Math.min(Math.max(Math.round(state.radius * factor + (factor > 1 ? 1 : -0.5)), 1), 100);
    changed();
  };
  const toggle = (id) => document.getElementById(id).click();
  const KEYS = [
    ["Ctrl+z", "undo", acts.undo],
    ["Ctrl+Z", "do again", acts.redo],
    ["Ctrl+y", "", acts.redo],
    ["Delete", "delete what is chosen", acts.remove],
    ["Backspace", "", acts.remove],
    ["m", "merge what is chosen", acts.merge],
    ["g", "click: choose, or grow", () => setTool("grow")],
    ["Escape", "choose nothing", () => { state.selected.clear(); setTool("grow"); }],
    ["c", "cut along a line that is drawn", () => setTool("cut")],
    ["w", "why: how alike all is to a point", () => setTool("why")],
    ["s", "seeds in their order, and which became none", () => toggle("seeds")],
    [",", "less similar: the mask grows", () => nudge(-0.02)],
    [".", "more similar: the mask shrinks", () => nudge(0.02)],
    ["[", "smaller brush", () => brush(0.8)],
    ["]", "larger brush", () => brush(1.25)],
    ["n", "next image", () => step(1)],
    ["p", "image before", () => step(-1)],
    ["d", "every object is marked", () => toggle("complete")],
    ["f", "whole image", fit],
    ["o", "fill", () => toggle("fill")],
    ["l", "learn", dialogs.learn],
    ["e", "export", dialogs.export],
    ["?", "this page", () => help.showModal()],
  ];
  const byKey = new Map(KEYS.map(([key, , work]) => [key, work]));

  const table = document.createElement("table");
  const listed = [...MOUSE, ["1 to 9", "class of what is chosen, or of new objects"],
    ...KEYS.filter(([, what]) => what)];
  for (const [key, what] of listed) {
    const row = table.insertRow();
    const name = document.createElement("kbd");
    name.textContent = key.replace("Ctrl+Z", "Ctrl+Shift+z");
    row.insertCell().append(name);
    row.insertCell().textContent = what;
  }
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => help.close());
  help.replaceChildren(table, close);

  window.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input:not([type=range],[type=checkbox]), select");
    if (isTyping || document.querySelector("dialog[open]") || !state.image) return;
    const isControl = event.ctrlKey || event.metaKey;
    const digit = Number(event.key);
    if (!isControl && digit >= 1 && digit <= state.project.classes.length) {
      const name = state.project.classes[digit - 1];
      if (state.selected.size) acts.setClass(name);
      else state.className = name;
      changed();
      return;
    }
    const work = byKey.get((isControl ? "Ctrl+" : "") + event.key);
    if (!work || event.altKey) return;
    event.preventDefault();
    work();
  });
}
