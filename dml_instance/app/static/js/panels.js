// The lists and settings beside the image.

import { acts } from "./acts.js";
import { act } from "./api.js";
import { changed, state } from "./state.js";
import { say } from "./status.js";

const $ = (id) => document.getElementById(id);
const MOST_LISTED = 500;
// No class has this name: it does not fit in a line.
const NEW_CLASS = "\n";

// The slider is held: what the server answers does not move it.
let isHeld = false;

function entry(list, isChosen, parts, onClick) {
  const line = document.createElement("li");
  line.classList.toggle("chosen", isChosen);
  line.append(...parts);
  line.addEventListener("click", onClick);
  list.append(line);
}

function part(kind, text, name = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  element.className = name;
  return element;
}

export function showImages(open) {
  const list = $("images");
  const top = list.scrollTop;
  list.replaceChildren();
  for (const image of state.project.images) {
    const mark = image.complete ? "✓" : image.corrected ? "•" : "";
    const name = part("span", image.name, "name");
    name.title = image.name;
    entry(
      list, image.index === state.image?.index,
      [part("b", mark), name, part("small", image.seen ? image.objects : "")],
      () => open(image.index),
    );
  }
  list.scrollTop = top;
}

export function showObjects() {
  const list = $("objects");
  list.replaceChildren();
  $("count").textContent = state.objects.size;
  const items = [...state.objects.values()];
  for (const item of items.slice(0, MOST_LISTED)) {
    const swatch = part("span", "", "swatch");
    swatch.style.background = item.color;
    const score = item.score === null ? "drawn" : item.score.toFixed(2);
    entry(
      list, state.selected.has(item.id),
      [swatch, part("span", item.class, "name"), part("small", `${score} · ${item.area} px`)],
      (event) => acts.select(item.id, event.ctrlKey || event.metaKey),
    );
  }
  if (items.length > MOST_LISTED) {
    list.append(part("li", `and ${items.length - MOST_LISTED} more`));
  }
}

export function showSettings() {
  const [id] = state.selected.size === 1 ? [...state.selected] : [null];
  const item = state.objects.get(id);
  const isShared = [...state.selected].map((i) => state.objects.get(i)?.class);
  const select = $("class");
  if (select.options.length !== state.project.classes.length + 2) {
    select.replaceChildren(new Option("as the model finds", ""));
    for (const [index, name] of state.project.classes.entries()) {
      select.append(new Option(index < 9 ? `${index + 1}  ${name}` : name, name));
    }
    select.append(new Option("new class ...", NEW_CLASS));
  }
  select.value = isShared.length ? isShared[0] : state.className ?? "";
  const canGrow = Boolean(item?.point);
  $("tau-row").style.opacity = canGrow ? 1 : 0.4;
  $("tau").disabled = !canGrow;
  if (canGrow && !isHeld) $("tau").value = item.tau;
  $("tau-value").value = canGrow ? Number(state.preview?.tau ?? item.tau).toFixed(2) : "";
  $("radius").value = state.radius;
  $("radius-value").value = `${state.radius} px`;
  $("complete").checked = Boolean(state.image?.complete);
  $("undo").disabled = !state.image?.undo;
  $("undo").textContent = state.image?.undo ? `Undo ${state.image.undo}` : "Undo";
  $("redo").disabled = !state.image?.redo;
  $("merge").disabled = state.selected.size < 2;
  $("delete").disabled = state.selected.size === 0;
  $("model").textContent = state.project.model;
  $("banner").hidden = !state.compare;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.classList.toggle("chosen", button.dataset.tool === state.tool);
  }
}

export function showWhy() {
  const place = $("why");
  const told = state.alike?.told;
  place.hidden = !told;
  if (!told) return;
  const table = document.createElement("table");
  for (const [name, value] of Object.entries(told.classes)) {
    const row = table.insertRow();
    row.append(part("td", name), part("td", value.toFixed(2)));
  }
  const lines = [
    part("p", `Bright is alike to the point. A mask from here: ${told.class}, `
      + `seediness ${told.seediness.toFixed(2)}, at similarity ${told.tau}.`),
    table,
  ];
  if (told.account) lines.push(part("p", storyOf(told.account, told.nearest)));
  place.replaceChildren(...lines);
}

export function storyOf(account, index, what = "The nearest seed") {
  const score = account.score === null ? "" : `, score ${account.score.toFixed(2)}`;
  const small = account.size_factor === null || account.size_factor > 0.9
    ? "" : ` (lowered by a factor of ${account.size_factor.toFixed(2)}, as it is small)`;
  const taken = account.taken_by === null
    ? "" : account.share_taken === null
      ? ` Seed ${account.taken_by + 1} was the first of them.`
      : ` ${Math.round(100 * account.share_taken)} % of it belongs to that of seed `
        + `${account.taken_by + 1}.`;
  const rule = account.rule ? ` (${account.rule})` : "";
  return `${what}, number ${index + 1}, ${account.class}, seediness `
    + `${account.seediness.toFixed(2)}${score}${small}: ${account.reason}${rule}.${taken}`;
}

// The name of a class that the user adds; of none as the list was.
async function addedClass() {
  const name = window.prompt("The name of the new class:")?.trim();
  if (!name) return state.className;
  try {
    state.project = await act("/api/classes", { name });
  } catch (error) {
    say(error.message, true);
    return state.className;
  }
  say(`${name}: the model knows it when it has learnt it`);
  return name;
}

export function watchPanels() {
  $("class").addEventListener("change", async (event) => {
    let name = event.target.value;
    if (name === NEW_CLASS) name = await addedClass();
    if (state.selected.size && name) acts.setClass(name);
    else state.className = name || null;
    event.target.blur();
    changed();
  });
  let isAsking = false;
  let wanted = null;
  async function preview() {
    if (isAsking) return;
    isAsking = true;
    while (wanted) {
      const { id, tau } = wanted;
      wanted = null;
      await acts.preview(id, tau);
    }
    isAsking = false;
  }
  $("tau").addEventListener("input", (event) => {
    const [id] = state.selected;
    isHeld = true;
    wanted = { id, tau: Number(event.target.value) };
    preview();
  });
  $("tau").addEventListener("change", async (event) => {
    const [id] = state.selected;
    wanted = null;
    await acts.regrow(id, Number(event.target.value));
    isHeld = false;
    changed();
  });
  $("radius").addEventListener("input", (event) => {
    state.radius = Number(event.target.value);
    changed();
  });
  $("complete").addEventListener("change", (event) => acts.complete(event.target.checked));
  for (const [id, name] of [["fill", "fill"], ["names", "names"]]) {
    $(id).addEventListener("change", (event) => {
      state[name] = event.target.checked;
      changed();
    });
  }
  $("seeds").addEventListener("change", (event) => acts.seeds(event.target.checked));
}
