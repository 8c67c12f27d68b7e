// The list of tracks: colour, name, and buttons that mute and solo them, in sound and picture.

import { NUM_COLOURS } from "./draw.js";

export class Tracks {
  #states = new Map();  // identity of a track -> {muted, solo}
  #identities = [];  // of the tracks on show

  /** `instruments` are the names of the 128 programs. `onSilence(places)` receives the silent tracks. */
  constructor({ element, instruments, onSilence }) {
    Object.assign(this, { element, instruments, onSilence });
  }

  /** Forget which tracks are muted. */
  clear() {
    this.#states.clear();
    this.#identities = [];
    this.element.replaceChildren();
  }

  show(score) {
    const identities = identitiesOf(score.tracks);
    if (identities.join("\n") !== this.#identities.join("\n") || !this.element.children.length) {
      this.#identities = identities;
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
    row.append(name, this.#button(track, place, "muted", "M", "Mute"), this.#button(track, place, "solo", "S", "Solo"));
    return row;
  }

  #button(track, place, what, letter, verb) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: letter, title: `${verb} ${track.name}` });
    button.className = `track-${what}`;
    button.setAttribute("aria-label", `${verb} ${track.name}`);
    button.addEventListener("click", () => {
      const key = this.#identities[place];
      const state = this.#states.get(key) ?? {};
      this.#states.set(key, { ...state, [what]: !state[what] });
      this.#tell();
    });
    return button;
  }

  #tell() {
    const states = this.#identities.map((identity) => this.#states.get(identity) ?? {});
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

/** What a track is known by, whatever rows are added: its name and instrument, and a number where several are alike. */
function identitiesOf(tracks) {
  const counts = new Map();
  return tracks.map(({ name, program, drum }) => {
    const alike = `${name} ${program} ${drum}`;
    counts.set(alike, (counts.get(alike) ?? 0) + 1);
    return `${alike} ${counts.get(alike)}`;
  });
}
