// Images and annotations that come in, results that go out.

import { act, send } from "./api.js";
import { state } from "./state.js";
import { busy, say } from "./status.js";

const $ = (id) => document.getElementById(id);

export function openExport() {
  $("export-state").replaceChildren();
  $("export").showModal();
}

export function watchFiles({ open, refresh }) {
  async function add(files) {
    let last = null;
    for (const file of files) {
      const done = busy(`${file.name} is sent ...`);
      try {
        last = (await send("/api/upload", file)).index;
      } catch (error) {
        say(error.message, true);
      }
      done();
    }
    await refresh();
    if (last !== null) await open(last);
  }

  $("add").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", async (event) => {
    await add([...event.target.files]);
    event.target.value = "";
  });
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });

  $("import").addEventListener("click", () => $("annotations").click());
  $("annotations").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file || !state.image) return;
    try {
      const query = state.className === null ? {} : { class: state.className };
      const found = await send(`/api/images/${state.image.index}/import`, file, query);
      await refresh();
      await open(state.image.index);
      const doubts = found.doubts.length
        ? `. Check this: ${found.doubts.join("; ")}. Undo takes it back.` : "";
      const line = `${found.objects} objects of ${found.images} images were imported${doubts}`;
      say(line, found.doubts.length > 0);
    } catch (error) {
      say(error.message, true);
    }
  });

  $("open-export").addEventListener("click", openExport);
  $("export-start").addEventListener("click", async () => {
    const forms = [...document.querySelectorAll("#forms input:checked")].map((box) => box.value);
    const line = $("export-state");
    try {
      const found = await act("/api/export", { forms });
      const link = document.createElement("a");
      link.href = `/api/exports/${found.name}.zip`;
      link.textContent = "download as zip";
      link.download = "";
      line.replaceChildren(
        `${found.objects} objects of ${found.images} images: ${found.path} — `, link,
        ...found.remarks.map((remark) => ` ${remark}`),
      );
    } catch (error) {
      line.textContent = error.message;
    }
  });
}
