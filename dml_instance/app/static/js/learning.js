// Learning from what was corrected: the dialog, its curve, and before and after.

import { acts } from "./acts.js";
import { act, ask } from "./api.js";
import { changed, state } from "./state.js";
import { say } from "./status.js";

const $ = (id) => document.getElementById(id);
let timer = null;

export async function openLearning() {
  $("learn").showModal();
  await show();
}

async function show() {
  clearTimeout(timer);
  let told;
  try {
    told = await ask("/api/learning");
  } catch (error) {
    $("learn-state").textContent = error.message;
    return;
  }
  const isRunning = told.state === "running";
  const count = told.images.length;
  $("learn-what").textContent = count === 1
    ? "One image was corrected; the model learns from it."
    : `${count} images were corrected; the model learns from them.`;
  $("learn-start").disabled = isRunning || count === 0;
  $("learn-stop").hidden = !isRunning;
  $("learn-compare").hidden = told.state !== "done";
  $("learn-progress").value = told.share ?? 0;
  const line = {
    none: "",
    running: `${Math.round(100 * told.share)} %, step ${told.iterations}`,
    done: `done after ${told.iterations} steps`,
    stopped: "stopped; nothing was learnt",
    failed: `it failed: ${told.error}`,
  }[told.state];
  $("learn-state").textContent = [line, ...told.remarks ?? []].join("; ");
  drawCurve(told.curve ?? []);
  if (isRunning) timer = setTimeout(show, 1000);
}

function drawCurve(curve) {
  const canvas = $("curve");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  canvas.hidden = curve.length < 2;
  if (canvas.hidden) return;
  const most = Math.max(...curve.map(([, loss]) => loss));
  const last = curve.at(-1)[0];
  const [left, top, width, height] = [34, 8, canvas.width - 44, canvas.height - 30];
  context.strokeStyle = "#556";
  context.strokeRect(left, top, width, height);
  context.fillStyle = "#9ab";
  context.font = "11px system-ui, sans-serif";
  context.fillText(most.toFixed(2), 4, top + 10);
  context.fillText("0", 22, top + height);
  context.fillText(`loss, ${last.toFixed(1)} minutes`, left + 4, canvas.height - 6);
  context.strokeStyle = "#4fb3ff";
  context.lineWidth = 2;
  context.beginPath();
  for (const [minutes, loss] of curve) {
    context.lineTo(left + (width * minutes) / last, top + height * (1 - loss / most));
  }
  context.stroke();
}

export function watchLearning({ open, reload, fit }) {
  const guarded = (work) => async () => {
    try {
      await work();
    } catch (error) {
      $("learn-state").textContent = error.message;
      say(error.message, true);
    }
  };
  const nextImage = () => {
    const images = state.project.images;
    const after = [...images.slice(state.image.index + 1), ...images.slice(0, state.image.index)];
    return (after.find((image) => !image.corrected) ?? after[0] ?? state.image).index;
  };
  async function compareNext() {
    state.compare = null;
    await open(nextImage());
    await acts.compare();
    fit();
  }
  async function decide(keep) {
    await act("/api/learning/decide", { keep });
    state.compare = null;
    await reload();
    fit();
    say(keep ? "the new model is in use" : "the new model was forgotten");
  }
  $("open-learn").addEventListener("click", openLearning);
  $("learn-start").addEventListener("click", guarded(async () => {
    await act("/api/learning", {
      minutes: Number($("minutes").value), share: Number($("share").value),
    });
    await show();
  }));
  $("learn-stop").addEventListener("click", guarded(async () => {
    await act("/api/learning/stop");
    await show();
  }));
  $("learn-compare").addEventListener("click", guarded(async () => {
    $("learn").close();
    await compareNext();
  }));
  $("next-compare").addEventListener("click", guarded(compareNext));
  $("keep").addEventListener("click", guarded(() => decide(true)));
  $("forget").addEventListener("click", guarded(() => decide(false)));
  $("learn").addEventListener("close", () => { clearTimeout(timer); changed(); });
}
