// What the page asks of the server. Errors carry the server's line.

async function answerOf(response) {
  if (response.ok) return response;
  const text = await response.text();
  let line = text.trim() || `the server answered ${response.status}`;
  try { line = JSON.parse(text).error ?? line; } catch { /* it is the line */ }
  throw new Error(line);
}

export async function ask(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  const response = await answerOf(await fetch(text ? `${path}?${text}` : path));
  return response.json();
}

export async function act(path, content = {}) {
  const response = await answerOf(await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(content),
  }));
  return response.json();
}

export async function send(path, file, query = {}) {
  const text = new URLSearchParams({ name: file.name, ...query }).toString();
  const response = await answerOf(await fetch(`${path}?${text}`, { method: "PUT", body: file }));
  return response.json();
}

// A picture, and the value of a header.
export async function picture(path, query = {}, header = "") {
  const text = new URLSearchParams(query).toString();
  const response = await answerOf(await fetch(text ? `${path}?${text}` : path));
  const bitmap = await createImageBitmap(await response.blob());
  return [bitmap, header && response.headers.get(header)];
}
