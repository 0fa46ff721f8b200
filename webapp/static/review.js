// The review queue, one product at a time: the next one is there before the last one is saved.

const $ = (id) => document.getElementById(id);
const list = $("questions");
const token = document.querySelector('meta[name="csrf-token"]').content;
const started = Date.now();

let saving = Promise.resolve(); // decisions are sent one after the other, in their order
let waiting = 0;
let taken = 0;
let fetching = false;
let dry = false; // the server has no more
const decided = []; // articles, the latest last

const all = () => [...list.querySelectorAll(".question")];
const open = () => all().filter((each) => !each.dataset.done);
const current = () => open()[0];

function show({ focus = false } = {}) {
  const now = current();
  for (const each of all()) each.hidden = each !== now;
  $("empty").hidden = Boolean(now);
  if (now) {
    const title = now.querySelector("h2");
    $("status").textContent = `${now.querySelector(".kicker").textContent}: ${title.textContent}`;
    if (focus) title.focus({ preventScroll: true });
    if (!now.dataset.ready) settle(now);
    if (scrollY > 300) scrollTo({ top: 0 });
  }
  if (open().length < 4) fetchMore();
}

function settle(article) {
  article.dataset.ready = "1";
  const glow = article.querySelector(".glow");
  if (glow) {
    glow.hidden = false;
    glow.addEventListener("click", () => toggleHeat(article));
  }
}

function toggleHeat(article) {
  const heat = article.querySelector(".heat");
  const glow = article.querySelector(".glow");
  if (!heat || !glow) return;
  heat.src ||= heat.dataset.src;
  heat.hidden = !heat.hidden;
  glow.setAttribute("aria-pressed", String(!heat.hidden));
}

async function fetchMore() {
  if (fetching || dry) return;
  fetching = true;
  const seen = new URLSearchParams({ axis: list.dataset.axis });
  for (const each of open()) seen.append("seen", each.dataset.key);
  try {
    await saving; // so that what was decided is not asked again
    const answer = await send(`${list.dataset.more}?${seen}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const there = new Set(all().map((each) => each.dataset.key));
    const fresh = [...page.querySelectorAll(".question")].filter((each) => !there.has(each.dataset.key));
    dry = !fresh.length;
    for (const each of fresh) {
      each.hidden = true;
      list.append(each);
    }
    fetching = false;
    if (fresh.length) show();
  } catch {
    fetching = false;
    setTimeout(() => open().length < 4 && fetchMore(), 3000);
  }
}

async function send(address, data) {
  const answer = await fetch(address, {
    method: data ? "POST" : "GET", body: data, headers: { "X-Requested-With": "fetch", "X-CSRFToken": token },
  });
  if (!answer.ok) throw new Error(new DOMParser().parseFromString(await answer.text(), "text/html").body.textContent.trim());
  return answer;
}

// Put a decision in line, and go on at once.
function decide(form, submitter) {
  const article = form.closest(".question");
  if (!article || article.dataset.done) return;
  const data = new FormData(form, submitter);
  article.dataset.done = "1";
  decided.push(article);
  while (decided.length > 30) {
    const old = decided.shift();
    if (old.dataset.done) old.remove();
  }
  $("failed").hidden = true;
  count(1);
  later(() => send(form.getAttribute("action"), data), () => {
    delete article.dataset.done;
    count(-1);
    decided.splice(decided.indexOf(article), 1);
    list.prepend(article);
  });
  show({ focus: true });
}

function later(work, failed) {
  waiting += 1;
  saving = saving.then(work).catch((error) => {
    failed?.();
    $("failed").hidden = false;
    const said = error instanceof TypeError ? "" : error.message; // the browser's own words help nobody
    $("failed").textContent = `${list.dataset.failed} ${said}`;
    show();
  }).finally(() => (waiting -= 1));
}

function undo() {
  const form = $("undo");
  if (!form) return; // who may only look
  const article = decided.pop();
  later(() => send(form.getAttribute("action"), new FormData(form)).then(() => article || location.reload()));
  if (!article) return;
  delete article.dataset.done;
  list.prepend(article);
  dry = false;
  count(-1);
  show({ focus: true });
}

function count(by) {
  taken += by;
  const left = $("open");
  if (/^\d+$/.test(left.textContent)) left.textContent = String(Math.max(0, Number(left.textContent) - by));
  const hours = Math.max(20_000, Date.now() - started) / 3_600_000;
  $("pace").textContent = taken > 0 ? ` · ${list.dataset.pace.replace("{count}", taken).replace("{rate}", Math.round(taken / hours))}` : "";
}

document.addEventListener("submit", (event) => {
  if (event.target.id === "undo") {
    event.preventDefault();
    undo();
  } else if (event.target.matches(".question .decide")) {
    event.preventDefault();
    decide(event.target, event.submitter);
  }
});

$("axis").addEventListener("change", () => $("axis").form.submit());
addEventListener("beforeunload", (event) => waiting && event.preventDefault());

// --- values while typing ----------------------------------------------------------------------

let typing = 0;
document.addEventListener("input", ({ target }) => {
  if (!target.list || !target.dataset.axis) return;
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const asked = new URLSearchParams({ q: target.value, axis: target.dataset.axis });
    const values = await (await send(`${list.dataset.values}?${asked}`)).json();
    target.list.replaceChildren(...values.map((value) => Object.assign(document.createElement("option"), { value })));
  }, 120);
});

// --- keys -------------------------------------------------------------------------------------

const shortcuts = $("shortcuts");
shortcuts.checked = localStorage.getItem("shortcuts") !== "off";
const keyless = () => document.documentElement.classList.toggle("keyless", !shortcuts.checked);
keyless();
shortcuts.addEventListener("change", () => {
  localStorage.setItem("shortcuts", shortcuts.checked ? "on" : "off");
  keyless();
});

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const article = current();
  if (target.matches("input:not([type=checkbox]), select, textarea")) {
    if (key === "Escape") article?.querySelector("h2").focus();
    return;
  }
  if (!shortcuts.checked || event.repeat) return;
  if (key === "Enter" && target.closest("a, button, summary, input")) return; // it has a meaning there
  if (key === "u") undo();
  else if (key === "h" && article) toggleHeat(article);
  else if (key === "/" && article) article.querySelector(".other-value input:not([type=hidden])").focus();
  else {
    const button = article?.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!button) return;
    button.form.requestSubmit(button);
  }
  event.preventDefault();
});

show();
