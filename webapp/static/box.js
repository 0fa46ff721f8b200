// A box on a picture: drawn, moved and resized by touch, mouse or keyboard.
// Numbers are fractions of the picture: {x, y, width, height}.

const LEAST = 0.05; // of a side, so that a box can always be taken hold of
const STEP = 0.02; // of a side, for each press of an arrow key

const within = (value, low, high) => Math.min(Math.max(value, low), high);

export class Box {
  // `changed` is called with the box when a person has finished changing it.
  constructor(canvas, label, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.value = null;
    this.element = document.createElement("div");
    this.element.className = "box";
    this.element.tabIndex = 0;
    this.element.hidden = true;
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", label);
    for (const corner of ["nw", "ne", "sw", "se"]) {
      const handle = document.createElement("i");
      handle.className = corner;
      this.element.append(handle);
    }
    canvas.append(this.element);
    canvas.addEventListener("pointerdown", (event) => this.#take(event));
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  set active(on) {
    this.canvas.classList.toggle("drawing", on);
  }

  get active() {
    return this.canvas.classList.contains("drawing");
  }

  show(value) {
    this.value = value;
    this.element.hidden = !value;
    if (!value) return;
    const { style } = this.element;
    style.left = `${value.x * 100}%`;
    style.top = `${value.y * 100}%`;
    style.width = `${value.width * 100}%`;
    style.height = `${value.height * 100}%`;
  }

  #at(event) {
    const frame = this.canvas.getBoundingClientRect();
    return {
      x: within((event.clientX - frame.left) / frame.width, 0, 1),
      y: within((event.clientY - frame.top) / frame.height, 0, 1),
    };
  }

  #take(event) {
    if (!this.active || event.button > 0) return;
    event.preventDefault();
    const start = this.#at(event);
    const before = this.value;
    const corner = event.target.matches(".box i") ? event.target.className : "";
    const inside = !corner && this.element.contains(event.target);
    let moved = false;
    this.canvas.setPointerCapture(event.pointerId);
    const move = (next) => {
      const to = this.#at(next);
      moved ||= Math.hypot(to.x - start.x, to.y - start.y) > 0.015;
      if (!moved) return;
      if (inside) this.show(shifted(before, to.x - start.x, to.y - start.y));
      else this.show(between(corner ? opposite(before, corner) : start, to));
    };
    const end = (last) => {
      for (const [name, each] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]])
        this.canvas.removeEventListener(name, each);
      if (last.type === "pointercancel") return this.show(before);
      // A tap puts a box around what was tapped, so that nobody needs to drag.
      if (!moved && !inside && !corner) this.show(around(start));
      this.element.focus({ preventScroll: true });
      if (moved || !inside) this.changed(this.value);
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
  }

  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") {
      this.show(null);
      this.changed(null);
    } else if (way) {
      const [dx, dy] = way.map((each) => each * STEP);
      const { x, y, width, height } = this.value;
      if (!event.shiftKey) this.show(shifted(this.value, dx, dy));
      else this.show({ x, y, width: within(width + dx, LEAST, 1 - x), height: within(height + dy, LEAST, 1 - y) });
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.changed(this.value), 500);
    } else return;
    event.preventDefault();
  }
}

function shifted({ x, y, width, height }, dx, dy) {
  return { x: within(x + dx, 0, 1 - width), y: within(y + dy, 0, 1 - height), width, height };
}

function opposite({ x, y, width, height }, corner) {
  return { x: corner.includes("w") ? x + width : x, y: corner.includes("n") ? y + height : y };
}

function between(a, b) {
  const width = Math.max(Math.abs(a.x - b.x), LEAST);
  const height = Math.max(Math.abs(a.y - b.y), LEAST);
  return { x: within(Math.min(a.x, b.x), 0, 1 - width), y: within(Math.min(a.y, b.y), 0, 1 - height), width, height };
}

function around({ x, y }) {
  return { x: within(x - 0.2, 0, 0.6), y: within(y - 0.2, 0, 0.6), width: 0.4, height: 0.4 };
}
