// The shopper's page: sends the form as it changes and puts the answer below it.

import { Box } from "./box.js";
import { forget, prepare, recall, remember, turned } from "./photo.js";

const $ = (id) => document.getElementById(id);
const form = $("search");
const found = $("found");
const main = $("main");
const image = $("photo");
const WHOLE = "0,0,1,1"; // as a region: the shop shall not look for a part
const wide = matchMedia("(min-width: 60rem)");

let photo = null; // what is sent in place of the file, a Blob
let place = 0; // where this tab remembers it, 0: nowhere
let visible = true; // whether this browser can show it
let running = null; // the AbortController of the search under way
let filtersOpen = wide.matches;

const box = new Box(image.parentElement, form.dataset.part, (value) => {
  setRegion(value);
  if (value) $("parts").value = "drawn";
  else {
    drawing(false);
    $("crop").focus({ preventScroll: true });
  }
  search({ keepPlace: true });
});

// --- searching ------------------------------------------------------------------------------

async function search({ submitter, fields, keepPlace = false } = {}) {
  running?.abort();
  const control = (running = new AbortController());
  const data = fields ? toForm(fields) : new FormData(form, submitter);
  data.delete("photo");
  data.delete("part"); // the box says it
  if (photo) {
    data.delete("photo64");
    data.set("photo", photo, "photo");
    if (!visible) data.set("preview", "1");
  }
  if (photo?.size > Number(form.dataset.most)) return fail(form.dataset.large);
  found.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: data, headers: { "X-Requested-With": "fetch" }, signal: control.signal,
    });
    const text = await answer.text();
    if (!answer.headers.get("Content-Type")?.startsWith("text/html")) throw new Error(text); // a proxy's
    show(text, answer.ok, submitter);
    if (data.get("turn") === "upright") await uprighted();
    else if (data.has("pick") || !data.get("region")) follow();
    if (answer.ok) note(answer.headers.get("X-Address"), data, keepPlace);
  } catch (error) {
    if (error.name === "AbortError") return;
    fail(form.dataset.failed, () => search({ submitter, fields, keepPlace }));
  }
  found.setAttribute("aria-busy", "false");
}

// Say above what was found before that nothing came; `again` is what a button tries.
function fail(text, again) {
  const said = $("failed").content.cloneNode(true).firstElementChild;
  said.querySelector("p").textContent = text;
  const button = said.querySelector("button");
  button.hidden = !again;
  button.addEventListener("click", again);
  $("results").querySelector(".unsent")?.remove();
  $("results").prepend(said);
  found.setAttribute("aria-busy", "false");
}

function show(html, whole, submitter) {
  const first = !main.classList.contains("asked");
  const before = document.activeElement;
  const inside = found.contains(before);
  const name = before?.name && CSS.escape(before.name);
  const cards = submitter?.name === "shown" ? found.querySelectorAll(".card").length : 0;
  const opened = new Map([...found.querySelectorAll("details[data-name]")].map((each) => [each.dataset.name, each.open]));
  if (whole) {
    found.innerHTML = html;
    for (const each of found.querySelectorAll("details[data-name]")) each.open = opened.get(each.dataset.name) ?? each.open;
  } else {
    $("results")?.remove(); // filters stay as they are
    found.insertAdjacentHTML("beforeend", html);
  }
  main.classList.add("asked");
  settle();
  // The same control as before, if it is still there.
  const again = before?.id ? $(before.id) : name && document.querySelector(`[name="${name}"][value="${CSS.escape(before.value)}"]`);
  if (cards) found.querySelectorAll(".card .open")[cards]?.focus({ preventScroll: true });
  else if (again && !again.hidden) again.focus({ preventScroll: true });
  else if (inside) $("verdict").focus({ preventScroll: true });
  const preview = $("preview");
  if (preview) {
    image.src = preview.src;
    $("stage").hidden = false;
    tools(true);
  }
  $("status").textContent = [...document.querySelectorAll(".verdict h2, .verdict p")].map((each) => each.textContent).join(". ");
  if (first && !wide.matches) document.querySelector(".verdict")?.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// Show the part that the shop chose, if it did.
function follow() {
  const { region } = $("results").dataset;
  if (region === undefined || $("stage").hidden) return;
  const chosen = readRegion(region);
  $("region").value = region;
  box.show(chosen);
  if (chosen) drawing(true);
  tools(true);
}

// Make what came from the shop behave: filters closed on phones, a button that copies.
function settle() {
  const refine = $("refine");
  if (refine) {
    refine.open = filtersOpen;
    refine.addEventListener("toggle", () => (filtersOpen = refine.open));
  }
  const copy = $("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText($("address").value);
      copy.textContent = "✓";
    });
  }
  const shared = new URLSearchParams(document.getElementById("address")?.value.split("?")[1]);
  if (shared.get("kept")) {
    $("kept").value = shared.get("kept");
    $("example").value = "";
    $("photo64")?.remove();
    photo = null;
  }
}

// Write into the address bar what can be shared, into the history what brings it back.
function note(address, data, keepPlace) {
  const fields = [...data].filter(([, value]) => typeof value === "string" && value.length < 2000);
  const state = { place: photo ? place : 0, fields };
  const same = JSON.stringify(state) === JSON.stringify(history.state);
  history[keepPlace || same ? "replaceState" : "pushState"](state, "", address ?? "/");
}

function toForm(fields) {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  return data;
}

// --- the photo ------------------------------------------------------------------------------

async function choose(file) {
  if (!file) return;
  found.setAttribute("aria-busy", "true");
  ({ blob: photo, visible } = await prepare(file));
  await took();
}

// Search with a photo that is new to the shop.
async function took() {
  place = remember(photo);
  for (const name of ["like", "kept", "example"]) $(name).value = "";
  present();
  await search();
}

// Turn the photo here as the shop has turned it, which needs no other search.
async function uprighted() {
  const quarters = Number($("results").dataset.turned ?? 0);
  if (!quarters) return;
  if (visible) photo = await turned(image, quarters);
  visible = true;
  place = remember(photo);
  for (const name of ["kept", "example"]) $(name).value = "";
  $("photo64")?.remove();
  present();
}

function present(region) {
  const address = visible ? URL.createObjectURL(photo) : "";
  if (address) image.src = address;
  image.onload = () => address && URL.revokeObjectURL(address);
  $("stage").hidden = !visible;
  tools(visible);
  setRegion(region);
  drawing(Boolean(region));
  box.show(region);
}

function tools(shown) {
  $("crop").hidden = document.querySelector(".turns").hidden = !shown;
  document.querySelector(".partly").hidden = !shown || !box.active;
}

function setRegion(value) {
  $("region").value = value === null ? WHOLE : value ? [value.x, value.y, value.width, value.height].map((each) => each.toFixed(4)).join(",") : "";
}

function readRegion(text) {
  if (!text || text === WHOLE) return null;
  const [x, y, width, height] = text.split(",").map(Number);
  return { x, y, width, height };
}

$("crop").addEventListener("click", () => {
  drawing(!box.active);
  $("parts").value = box.active ? "centre" : "whole";
  part();
  search();
  if (box.active) box.element.focus({ preventScroll: true });
});

$("parts").addEventListener("change", part); // and the form's own listener searches

for (const each of document.querySelectorAll('[name="turn"]'))
  each.addEventListener("click", async (event) => {
    event.preventDefault();
    photo = await turned(image, each.value === "right" ? 1 : 3);
    visible = true;
    await took();
  });

function part() {
  const region = readRegion($("parts").selectedOptions[0].dataset.region);
  box.show(region);
  setRegion(region);
}

function drawing(on) {
  $("parts").value = on ? "drawn" : "whole";
  box.active = on;
  main.classList.toggle("parted", on);
  $("crop").setAttribute("aria-pressed", String(on));
  document.querySelector(".partly").hidden = !on;
}

for (const input of form.querySelectorAll('input[type="file"]'))
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // the same file can be chosen again, and is not sent twice
    choose(file);
  });

const drop = $("drop");
const dragged = (event) => [...(event.dataTransfer?.items ?? [])].some((each) => each.kind === "file");
addEventListener("dragover", (event) => {
  if (!dragged(event)) return;
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
addEventListener("drop", (event) => {
  if (!dragged(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  choose([...event.dataTransfer.files].find((file) => file.size));
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  choose(file);
});

// --- the form -------------------------------------------------------------------------------

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { name, value } = event.submitter ?? {};
  if (name === "clear")
    for (const each of found.querySelectorAll("input")) {
      if (each.type === "number") each.value = "";
      else each.checked = each.type === "radio" && each.value === "";
    }
  if (name === "drop" && value === "words") $("words").value = "";
  if (name === "drop" && value === "photo") return takeAway();
  search({ submitter: event.submitter });
});

// Go on with words and filters only, or from the start where there are none.
function takeAway() {
  photo = null;
  for (const each of ["kept", "example", "region"]) $(each).value = "";
  $("photo64")?.remove();
  image.removeAttribute("src");
  $("stage").hidden = true;
  drawing(false);
  box.show(null);
  tools(false);
  const left = [...new FormData(form)].some(([name, value]) => value && typeof value === "string" && name !== "part");
  if (left) search();
  else location.href = form.action;
}

document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.form === form && (found.contains(target) || target.id === "parts")) search();
});

// --- coming back ----------------------------------------------------------------------------

addEventListener("popstate", () => {
  running?.abort(); // else its answer would be written into the wrong place of the history
  location.reload();
});
document.querySelector(".brand").addEventListener("click", forget); // a fresh start

// Another language is another page, which shall show the same search.
for (const link of document.querySelectorAll(".top [hreflang]"))
  link.addEventListener("click", () => {
    const there = new URL(location.href);
    there.searchParams.set("lang", link.lang);
    link.href = there;
    if (history.state) sessionStorage.setItem("search", JSON.stringify(history.state));
  });

function resumed() {
  const state = sessionStorage.getItem("search");
  sessionStorage.removeItem("search");
  return history.state ?? JSON.parse(state);
}

function start() {
  settle();
  $("parts").options[0].remove(); // what it says is for pages without script
  const state = resumed();
  const blob = state?.place ? recall(state.place) : null;
  const region = readRegion($("region").value);
  if (blob) {
    photo = blob;
    place = state.place;
    const { fields } = state;
    const known = new Map(fields);
    if ($("words")) $("words").value = known.get("words") ?? "";
    const was = readRegion(known.get("region"));
    present(was);
    search({ fields: fields.filter(([name]) => !["share", "turn"].includes(name)), keepPlace: true });
  } else if (!$("stage").hidden) {
    drawing(Boolean(region));
    tools(true);
    box.show(region);
  }
}

start();
