// The review queue as a grid: how many are picked, all at once, values while typing.

const form = document.getElementById("grid");
document.getElementById("axis").addEventListener("change", ({ target }) => target.form.submit());

if (form) {
  const boxes = [...form.querySelectorAll('[name="picked"]')];
  const all = document.getElementById("all");
  const tell = () => {
    const picked = boxes.filter((each) => each.checked).length;
    document.getElementById("count").textContent = `${picked} / ${boxes.length}`;
    for (const each of form.querySelectorAll('.bar [name="action"]')) each.disabled = !picked;
  };
  all.hidden = false;
  all.addEventListener("click", () => {
    const on = boxes.some((each) => !each.checked);
    for (const each of boxes) each.checked = on;
    tell();
  });
  // With Shift, everything from the last one on.
  let last = -1;
  form.addEventListener("click", (event) => {
    const at = boxes.indexOf(event.target);
    if (at < 0) return;
    if (event.shiftKey && last >= 0)
      for (let each = Math.min(at, last); each <= Math.max(at, last); each++) boxes[each].checked = event.target.checked;
    last = at;
    tell();
  });
  form.addEventListener("change", tell);
  const value = document.getElementById("value");
  value.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // the first button of the form would be another one
    form.requestSubmit(form.querySelector('[value="set"]'));
  });
  let typing = 0;
  value.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(async () => {
      const asked = new URLSearchParams({ q: value.value, axis: value.dataset.axis });
      const values = await (await fetch(`${form.dataset.values}?${asked}`)).json();
      value.list.replaceChildren(...values.map((each) => Object.assign(document.createElement("option"), { value: each })));
    }, 120);
  });
  tell();
}
