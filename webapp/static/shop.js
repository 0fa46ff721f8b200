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
let visible = true; // whether this browser can show it
let running = null; // the AbortController of the search under way
let filtersOpen = wide.matches;

const box = new Box(image.parentElement, form.dataset.part, (value) => {
  setRegion(value);
  search();
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
  found.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: data, headers: { "X-Requested-With": "fetch" }, signal: control.signal,
    });
    show(await answer.text(), answer.ok);
    if (data.has("pick") || !data.get("region")) follow();
    if (answer.ok) note(answer.headers.get("X-Address"), data, keepPlace);
  } catch (error) {
    if (error.name === "AbortError") return;
    show(`<section id="results" class="results"><header class="verdict failed"><h2 id="verdict" role="alert"></h2></header></section>`, false);
    $("verdict").textContent = form.dataset.failed;
  }
  found.setAttribute("aria-busy", "false");
}

function show(html, whole) {
  const first = !main.classList.contains("asked");
  const before = document.activeElement;
  const name = before?.name && CSS.escape(before.name);
  if (whole) {
    found.innerHTML = html;
  } else {
    $("results")?.remove(); // filters stay as they are
    found.insertAdjacentHTML("beforeend", html);
  }
  main.classList.add("asked");
  settle();
  // The same control as before, if it is still there.
  const again = before?.id ? $(before.id) : name && document.querySelector(`[name="${name}"][value="${CSS.escape(before.value)}"]`);
  if (again && again !== document.activeElement && !again.hidden) again.focus({ preventScroll: true });
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
  const state = { photo: Boolean(photo), fields };
  const here = location.pathname + location.search;
  const there = address ?? "/";
  if (keepPlace || (here === there && history.state)) history.replaceState(state, "", there);
  else history.pushState(state, "", there);
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
  remember(photo);
  for (const name of ["like", "kept", "example"]) $(name).value = "";
  present();
  await search();
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
    photo = await turned(image, each.value === "right");
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
  if (event.submitter?.name === "clear")
    for (const each of found.querySelectorAll("input")) {
      if (each.type === "number") each.value = "";
      else each.checked = each.type === "radio" && each.value === "";
    }
  search({ submitter: event.submitter });
});

document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.form === form && (found.contains(target) || target.id === "parts")) search();
});

// --- coming back ----------------------------------------------------------------------------

addEventListener("popstate", () => location.reload());
document.querySelector(".brand").addEventListener("click", forget); // a fresh start

function start() {
  settle();
  $("parts").options[0].remove(); // what it says is for pages without script
  const blob = history.state?.photo ? recall() : null;
  const region = readRegion($("region").value);
  if (blob) {
    photo = blob;
    const { fields } = history.state;
    const known = new Map(fields);
    if ($("words")) $("words").value = known.get("words") ?? "";
    const was = readRegion(known.get("region"));
    present(was);
    search({ fields: fields.filter(([name]) => name !== "share"), keepPlace: true });
  } else if (!$("stage").hidden) {
    drawing(Boolean(region));
    tools(true);
    box.show(region);
  }
}

start();
