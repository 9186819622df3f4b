// One line below the image, and a sign that something takes its time.

export function say(text, isError = false) {
  const line = document.getElementById("status");
  line.textContent = text;
  line.classList.toggle("error", isError);
}

// Returns what ends it; it is shown where that takes longer than a moment.
export function busy(text) {
  const sign = document.getElementById("busy");
  const timer = setTimeout(() => {
    sign.textContent = text;
    sign.hidden = false;
  }, 300);
  return () => {
    clearTimeout(timer);
    sign.hidden = true;
  };
}
