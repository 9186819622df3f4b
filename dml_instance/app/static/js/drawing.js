// The image and all that lies on it.

const UNITS = 4; // outlines are in quarters of a pixel

export function draw(context, view, state) {
  const { canvas } = context;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!state.bitmap) return;
  if (state.compare) {
    const half = canvas.width / 2;
    [state.compare.before, state.compare.after].forEach((objects, side) => {
      context.save();
      context.beginPath();
      context.rect(side * half, 0, half, canvas.height);
      context.clip();
      drawScene(context, view, state, objects, side * half);
      context.restore();
    });
    context.fillStyle = "#fff8";
    context.fillRect(half - 1, 0, 2, canvas.height);
    return;
  }
  drawScene(context, view, state, [...state.objects.values()], 0);
  drawHints(context, view, state);
}

function place(context, view, shift, units = 1) {
  const zoom = view.zoom / units;
  context.setTransform(zoom, 0, 0, zoom, view.left + shift, view.top);
}

function drawScene(context, view, state, objects, shift) {
  place(context, view, shift);
  context.imageSmoothingEnabled = view.zoom < 1;
  context.drawImage(state.bitmap, 0, 0);
  if (state.alike) {
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 0.75;
    context.drawImage(state.alike.bitmap, 0, 0, state.alike.width, state.alike.height);
    context.globalAlpha = 1;
  }
  place(context, view, shift, UNITS);
  const { width: wide, height: high } = context.canvas;
  // What lies outside of the canvas takes its time, too.
  const isSeen = ({ box: [left, top, width, height] }) =>
    (left + width) * view.zoom + view.left >= 0 && left * view.zoom + view.left <= wide
    && (top + height) * view.zoom + view.top >= 0 && top * view.zoom + view.top <= high;
  const shown = objects.filter(isSeen)
    .map((item) => (state.preview?.id === item.id ? state.preview : item));
  for (const item of shown) {
    const isChosen = state.selected.has(item.id) && !state.compare;
    if (state.fill && !state.alike) {
      context.globalAlpha = isChosen ? 0.5 : 0.28;
      context.fillStyle = item.class === "(ignored)" ? "#8888" : item.color;
      context.fill(item.path, "evenodd");
    }
    context.globalAlpha = 1;
    context.lineWidth = ((isChosen ? 3 : 1.5) * UNITS) / view.zoom;
    context.strokeStyle = isChosen ? "#fff" : item.color;
    context.stroke(item.path);
  }
  if (!state.names) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.font = "12px system-ui, sans-serif";
  for (const item of shown) {
    const [left, top, width] = item.box;
    const text = item.score === null ? item.class : `${item.class} ${item.score.toFixed(2)}`;
    const length = context.measureText(text).width;
    if (width * view.zoom < length && !state.selected.has(item.id)) continue;
    const x = left * view.zoom + view.left + shift;
    const y = top * view.zoom + view.top;
    context.fillStyle = "#000a";
    context.fillRect(x - 2, y - 15, length + 4, 15);
    context.fillStyle = "#fff";
    context.fillText(text, x, y - 4);
  }
}

function drawHints(context, view, state) {
  const at = ([row, column]) => [column * view.zoom + view.left, row * view.zoom + view.top];
  context.setTransform(1, 0, 0, 1, 0, 0);
  if (state.seeds) drawSeeds(context, at, state.seeds);
  for (const id of state.selected) {
    const item = state.objects.get(id);
    if (item?.point) cross(context, at(item.point), "#fff");
  }
  if (state.alike) cross(context, at(state.alike.point), "#4f8");
  if (state.line) {
    const isBrush = state.line.kind !== "cut";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = isBrush ? Math.max(2 * state.radius * view.zoom, 2) : 2;
    context.strokeStyle = { cut: "#fff", add: "#6f68", erase: "#f668" }[state.line.kind];
    context.beginPath();
    state.line.points.map(at).forEach(([x, y]) => context.lineTo(x, y));
    const [x, y] = at(state.line.points.at(-1));
    context.lineTo(x + 0.01, y);
    context.stroke();
  } else if (state.cursor && state.brushing) {
    const [x, y] = at(state.cursor);
    context.strokeStyle = state.brushing === "add" ? "#6f6" : "#f66";
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(x, y, state.radius * view.zoom, 0, 2 * Math.PI);
    context.stroke();
  }
}

function drawSeeds(context, at, seeds) {
  context.font = "10px system-ui, sans-serif";
  seeds.forEach((seed, index) => {
    const [x, y] = at([seed.row, seed.column]);
    const weak = seed.rule === "MODEL.DML.GROUPING.MIN_SEEDINESS";
    context.fillStyle = seed.rule === "" ? "#5f5" : weak ? "#999" : "#fa4";
    context.strokeStyle = "#000";
    context.lineWidth = 1;
    context.beginPath();
    context.arc(x, y, weak ? 2.5 : 4, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    if (seed.rule === "" ) context.fillText(String(index + 1), x + 5, y - 4);
  });
}

function cross(context, [x, y], color) {
  for (const [width, style] of [[3.5, "#000"], [1.5, color]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    context.moveTo(x - 6, y);
    context.lineTo(x + 6, y);
    context.moveTo(x, y - 6);
    context.lineTo(x, y + 6);
    context.stroke();
  }
}
