// The list of tracks: colour, name, buttons that mute and solo a track in sound and picture, and after its name its
// volume and pan. While bars are marked, another button marks the track.

import { NEUTRAL } from "./channels.js";
import { letDragOut } from "./drag-out.js";
import { NUM_COLOURS } from "./draw.js";

const LOUDEST = 127 / 100;  // largest factor for the default volume of General MIDI

export class Tracks {
  #states = new Map();  // identity of a track -> {muted, solo, volume, pan}
  #identities = [];  // identities of the tracks on show
  #indices = [];  // their indices in the file

  /** `instruments` are the names of the 128 programs. `onSilence(places)` receives the silent tracks, `onMix(mix)` the
   *  {volume, pan} of each (see channels.js), `onChoose(place)` the track to mark; `file(indices)`
   *  gives the tracks with these indices as a file, {name, address}, or null. */
  constructor({ element, instruments, onSilence, onMix, onChoose, file }) {
    Object.assign(this, { element, instruments, onSilence, onMix, onChoose, file });
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
    this.#indices = score.tracks.map(({ index }) => index);
    this.#tell();
  }

  /** Show the tracks with these indices as marked; null: no bars are marked. */
  choose(indices) {
    const rows = [...this.element.children];
    rows.forEach((row, place) => {
      const only = row.querySelector(".track-only");
      only.hidden = indices === null || rows.length < 2;
      only.setAttribute("aria-pressed", Boolean(indices?.includes(this.#indices[place])));
    });
  }

  #row(track, place) {
    const row = document.createElement("li");
    row.style.setProperty("--colour", `var(--track-${place % NUM_COLOURS})`);
    const instrument = track.drum ? "Drums" : this.instruments[track.program];
    const name = Object.assign(document.createElement("button"), { type: "button", className: "track-name", textContent: track.name });
    name.title = `${track.name} (${instrument}): volume and pan`;
    name.setAttribute("aria-expanded", false);
    letDragOut(name, () => this.file([this.#indices[place]]));
    if (instrument !== track.name) name.append(Object.assign(document.createElement("small"), { textContent: instrument }));
    row.append(
      name, this.#onlyButton(track, place),
      this.#button(track, place, "muted", "M", "Mute"), this.#button(track, place, "solo", "S", "Solo"),
    );
    const mixer = Object.assign(document.createElement("div"), { className: "track-mixer", hidden: true });
    mixer.append(
      ...this.#slider(track, place, { what: "volume", label: "Volume", min: 0, max: LOUDEST, step: 0.01 }),
      ...this.#slider(track, place, { what: "pan", label: "Pan", min: -64, max: 63, step: 1 }),
    );
    name.addEventListener("click", () => {
      mixer.hidden = !mixer.hidden;
      name.setAttribute("aria-expanded", !mixer.hidden);
    });
    row.append(mixer);
    return row;
  }

  #onlyButton({ name }, place) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "track-only", textContent: "Only", hidden: true });
    button.title = `Compose only ${name} anew in the marked bars`;
    button.setAttribute("aria-label", `Only ${name} in the marked bars`);
    button.addEventListener("click", () => this.onChoose(place));
    return button;
  }

  #slider(track, place, { what, label, ...range }) {
    const slider = Object.assign(document.createElement("input"), { type: "range", ...range });
    const value = () => this.#states.get(this.#identities[place])?.[what] ?? NEUTRAL[what];
    const show = () => {
      slider.value = value();
      slider.setAttribute("aria-valuetext", spoken[what](value()));
      slider.title = spoken[what](value());
    };
    slider.className = `track-${what}`;
    slider.setAttribute("aria-label", `${label} of ${track.name}`);
    const change = (wanted) => {
      const key = this.#identities[place];
      this.#states.set(key, { ...this.#states.get(key), [what]: wanted });
      show();
      this.#tell();
    };
    slider.addEventListener("input", () => change(Number(slider.value)));
    slider.addEventListener("dblclick", () => change(NEUTRAL[what]));
    show();
    return [Object.assign(document.createElement("span"), { textContent: label }), slider];
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
    this.onMix(states.map(({ volume = NEUTRAL.volume, pan = NEUTRAL.pan }) => ({ volume, pan })));
  }
}

const spoken = {
  volume: (factor) => `${Math.round(factor * 100)} %`,
  pan: (steps) => (Math.abs(steps) < 1 ? "centre" : `${Math.abs(steps)} ${steps < 0 ? "left" : "right"}`),
};

/** The identity of a track, independent of its place: name and instrument, and a number if several are alike. */
function identitiesOf(tracks) {
  const counts = new Map();
  return tracks.map(({ name, program, drum }) => {
    const alike = `${name} ${program} ${drum}`;
    counts.set(alike, (counts.get(alike) ?? 0) + 1);
    return `${alike} ${counts.get(alike)}`;
  });
}
