// What pages do beyond plain links and forms: arrow keys, a slider that goes there, a run that is followed, a word
// that a page takes its time.

const BUSY_AFTER_MS = 400;
const busy = document.querySelector("[data-busy]");
let wait = 0;

const sayBusy = () => {
  clearTimeout(wait);
  wait = setTimeout(() => { busy.textContent = busy.dataset.busy; }, BUSY_AFTER_MS);
};

window.addEventListener("pageshow", () => {
  clearTimeout(wait);
  busy.textContent = "";
});
document.addEventListener("submit", sayBusy);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const isPlain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
  if (link && isPlain && link.origin === location.origin && !link.getAttribute("href").startsWith("#")) sayBusy();
});

const isTyping = (event) => event.target.closest("input, select, textarea, pre, .scroll") !== null;

document.addEventListener("keydown", (event) => {
  if (isTyping(event) || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = rel && document.querySelector(`a[rel="${rel}"]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});

for (const form of document.querySelectorAll("form[data-slider]")) {
  const range = form.elements.step;
  const said = form.querySelector("output");
  const from = Date.parse(form.elements.from.value);
  const width = Number(form.elements.width.value) * 1000;
  range.addEventListener("input", () => {
    const at = new Date(from + width * Number(range.value)).toISOString().slice(0, 16).replace("T", " ");
    said.textContent = at;
    range.setAttribute("aria-valuetext", at);
  });
  range.addEventListener("change", () => form.requestSubmit());
}

for (const section of document.querySelectorAll("[data-live]")) {
  const bar = section.querySelector("progress");
  const log = document.querySelector("[data-tail]");
  const state = section.querySelector("[data-state]");
  const source = new EventSource(section.dataset.live);
  source.addEventListener("error", () => {
    state.textContent = section.dataset.lost;
    state.hidden = false;
  });
  source.addEventListener("message", (event) => {
    const run = JSON.parse(event.data);
    state.hidden = true;
    section.querySelector("[data-stage]").textContent = run.stage || "–";
    section.querySelector("[data-done]").textContent = run.total ? `${run.done}/${run.total}` : `${run.done}`;
    if (run.share === null) bar.removeAttribute("value");
    else bar.value = run.share;
    log.textContent = run.tail.join("\n");
    if (!run.is_on) {
      source.close();
      location.reload();
    }
  });
}
