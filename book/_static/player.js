// Moves the explorers of the book. Their frames, written by book/frames.py, lie in script files beside this one, since a
// page that was opened from a folder may fetch nothing else; each is loaded when its explorer comes near the window.
"use strict";

(() => {
  const folder = document.currentScript.src;
  const loaded = new Map(); // name -> a promise of the frames
  const arrived = new Map(); // name -> what takes their text

  window.posebookFrames = (name, text) => arrived.get(name)(text);

  function load(name) {
    if (!loaded.has(name)) {
      const text = new Promise((resolve, reject) => {
        arrived.set(name, resolve);
        const script = document.createElement("script");
        script.onerror = () => reject(new Error(`frames-${name}.js cannot be read`));
        script.src = new URL(`frames-${name}.js`, folder);
        document.head.append(script);
      });
      loaded.set(name, text.then(inflate));
    }
    return loaded.get(name);
  }

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const frames = await new Response(stream).json();
    for (const part of frames.parts) { // row: how many frames before this one fill the same skeleton
      const count = part.skeletons.map(() => 0);
      part.row = part.which.map((skeleton) => count[skeleton]++);
    }
    return frames;
  }

  // The text of each part in a frame: its skeleton, whose holes are filled from the columns.
  function unpack({ parts, columns }, frame) {
    return parts.map(({ skeletons, which, row }) => {
      const { text, holes } = skeletons[which[frame]];
      const fill = ({ values, at }) => values[at ? at[row[frame]] : row[frame]];
      return holes.reduce((all, hole, k) => all + fill(columns[hole]) + text[k + 1], text[0]);
    });
  }

  class Control {
    constructor(element) {
      this.element = element;
      this.values = element.dataset.values.split("|");
      this.start = Number(element.dataset.start);
      this.inputs = [...element.querySelectorAll("input")];
      this.name = (this.inputs[0].name || this.inputs[0].id).split("-")[1];
    }

    get place() {
      return this.inputs[0].type === "range" ? Number(this.inputs[0].value) : this.inputs.findIndex((i) => i.checked);
    }

    set place(place) {
      if (this.inputs[0].type === "range") this.inputs[0].value = place;
      else this.inputs[place].checked = true;
    }

    // The place of a value, or of the nearest number; where it starts if there is none.
    find(value) {
      if (this.values.includes(value)) return this.values.indexOf(value);
      const far = this.values.map((each) => Math.abs(each - value));
      return value && far.every(Number.isFinite) ? far.indexOf(Math.min(...far)) : this.start;
    }

    say() {
      if (this.inputs[0].type !== "range") return;
      const text = `${this.values[this.place]} ${this.element.dataset.unit}`.trim();
      this.inputs[0].setAttribute("aria-valuetext", text);
      this.element.querySelector("span").textContent = text;
    }
  }

  class Player {
    constructor(element) {
      this.element = element;
      this.name = element.dataset.name;
      this.controls = [...element.querySelectorAll(".control")].map((each) => new Control(each));
      this.form = this.find("form");
      this.form.hidden = this.find(".goals").hidden = false;
      this.form.addEventListener("input", () => this.move().then((solved) => this.mark(solved)));
      this.form.addEventListener("submit", (event) => event.preventDefault());
    }

    find(selector) {
      return this.element.querySelector(selector);
    }

    // Shows the state that the controls say; which challenges it solves.
    async move() {
      for (const control of this.controls) control.say();
      const moved = this.controls.filter((control) => control.place !== control.start);
      const query = new URLSearchParams(moved.map((control) => [control.name, control.values[control.place]]));
      this.find("form a").href = `#${this.name}?${query}`;
      try {
        this.frames ??= await load(this.name);
        const frame = this.controls.reduce((at, control) => at * control.values.length + control.place, 0);
        return this.show(unpack(this.frames, frame));
      } catch (error) {
        this.find("[role=status]").textContent = error.message;
      }
    }

    show(parts) {
      const [table, numbers, verdict, note, solved] = parts.slice(-5);
      this.find(".pictures").innerHTML = parts.slice(0, -5).join("");
      this.find(".pictures").setAttribute("aria-label", numbers + verdict);
      this.find(".numbers").innerHTML = table;
      this.find("[role=status] span").textContent = numbers;
      this.find("[role=status] strong").textContent = verdict;
      this.find("[role=status] i").textContent = "";
      this.find("small.note").textContent = note;
      return solved;
    }

    // A challenge stays solved. Only moves solve it, no link.
    mark(solved = "") {
      this.element.querySelectorAll(".goals li").forEach((item, k) => {
        if (solved[k] !== "1" || item.className === "solved") return;
        item.className = item.querySelector("b").textContent = "solved";
        this.find("[role=status] i").textContent += ` Solved: ${item.querySelector("span").textContent}`;
      });
    }

    // To the state that a link names: what it does not name is where it starts.
    follow(query) {
      const wanted = new URLSearchParams(query);
      for (const control of this.controls) control.place = control.find(wanted.get(control.name));
      this.element.scrollIntoView();
      if (!this.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
      return this.move();
    }
  }

  function begin() {
    const players = [...document.querySelectorAll(".player")].map((element) => new Player(element));
    const near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) if (isIntersecting) load(target.dataset.name).catch(() => {});
    }, { rootMargin: "600px" });
    for (const player of players) near.observe(player.element);

    const follow = () => {
      const [name, query] = location.hash.slice(1).split("?");
      if (query !== undefined) players.find((player) => player.name === name)?.follow(query);
    };
    window.addEventListener("hashchange", follow);
    document.addEventListener("click", (event) => { // a link to where the page already is changes no hash
      if (event.target.closest("a")?.href === location.href) follow();
    });
    follow();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
