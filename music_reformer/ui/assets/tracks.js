// The list of tracks: colour, name, and buttons that mute and solo them, in sound and picture.

import { NUM_COLOURS } from "./draw.js";

export class Tracks {
  #states = new Map();  // what a track is called -> {muted, solo}
  #score = null;

  /** `instruments` are the names of the 128 programs. `onSilence(places)` is told the tracks that are not to be heard. */
  constructor({ element, instruments, onSilence }) {
    Object.assign(this, { element, instruments, onSilence });
  }

  /** Forget which tracks are muted. */
  clear() {
    this.#states.clear();
    this.#score = null;
    this.element.replaceChildren();
  }

  show(score) {
    const names = (list) => list?.tracks.map((track, place) => identity(track, place)).join("\n");
    if (names(score) !== names(this.#score) || !this.element.children.length) {
      this.#score = { tracks: [...score.tracks] };
      this.element.replaceChildren(...score.tracks.map((track, place) => this.#row(track, place)));
    }
    this.#tell();
  }

  #row(track, place) {
    const row = document.createElement("li");
    row.style.setProperty("--colour", `var(--track-${place % NUM_COLOURS})`);
    const instrument = track.drum ? "Drums" : this.instruments[track.program];
    const name = Object.assign(document.createElement("span"), { className: "track-name", textContent: track.name });
    name.title = `${track.name} (${instrument})`;
    if (instrument !== track.name) name.append(Object.assign(document.createElement("small"), { textContent: instrument }));
    row.append(name, this.#button(track, place, "muted", "M", "Mute"), this.#button(track, place, "solo", "S", "Hear only"));
    return row;
  }

  #button(track, place, what, letter, verb) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: letter, title: `${verb} ${track.name}` });
    button.className = `track-${what}`;
    button.setAttribute("aria-label", `${verb} ${track.name}`);
    button.addEventListener("click", () => {
      const key = identity(track, place);
      const state = this.#states.get(key) ?? {};
      this.#states.set(key, { ...state, [what]: !state[what] });
      this.#tell();
    });
    return button;
  }

  #tell() {
    const states = this.#score.tracks.map((track, place) => this.#states.get(identity(track, place)) ?? {});
    const anySolo = states.some((state) => state.solo);
    const silent = new Set();
    states.forEach((state, place) => {
      if (state.muted || (anySolo && !state.solo)) silent.add(place);
      const row = this.element.children[place];
      row.toggleAttribute("data-silent", silent.has(place));
      row.querySelector(".track-muted").setAttribute("aria-pressed", Boolean(state.muted));
      row.querySelector(".track-solo").setAttribute("aria-pressed", Boolean(state.solo));
    });
    this.onSilence(silent);
  }
}

const identity = ({ name, program, drum }, place) => `${place} ${name} ${program} ${drum}`;
