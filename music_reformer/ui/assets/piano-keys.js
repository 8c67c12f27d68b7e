// The computer's keyboard as a piano: two rows from A on, an octave and a fifth, by the keys' positions.

import { announce } from "./messages.js";

const PLACES = ["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU", "KeyJ", "KeyK",
  "KeyO", "KeyL", "KeyP", "Semicolon", "Quote"];
const MIDDLE_C = 60, OCTAVE = 12, LOWEST = 24, HIGHEST = 96;
const VELOCITY = 90;
const TYPING = "input, select, textarea, [role=dialog]";

export class PianoKeys {
  isOn = false;
  #lowest = MIDDLE_C;
  #down = new Map();  // position of a key that is down -> its pitch

  /** `onNote({pitch, velocity, isOn, time})`: time in milliseconds of the page's clock. */
  constructor({ onNote }) {
    this.onNote = onNote;
    // Before the page's own shortcuts, some of which are the same letters.
    document.addEventListener("keydown", (event) => this.#press(event), { capture: true });
    document.addEventListener("keyup", (event) => this.#release(event), { capture: true });
    addEventListener("blur", () => this.#releaseAll());
  }

  #press(event) {
    if (!this.isOn || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPING)) return;
    const step = PLACES.indexOf(event.code);
    const octave = { KeyZ: -OCTAVE, KeyX: OCTAVE }[event.code];
    if (step < 0 && !octave) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return;
    if (octave) this.#move(octave);
    else if (!this.#down.has(event.code)) {
      this.#down.set(event.code, this.#lowest + step);
      this.onNote({ pitch: this.#lowest + step, velocity: VELOCITY, isOn: true, time: event.timeStamp });
    }
  }

  #release({ code, timeStamp }) {
    if (!this.#down.has(code)) return;
    this.onNote({ pitch: this.#down.get(code), velocity: 64, isOn: false, time: timeStamp });
    this.#down.delete(code);
  }

  #releaseAll() { for (const code of [...this.#down.keys()]) this.#release({ code, timeStamp: performance.now() }); }

  #move(octave) {
    this.#lowest = Math.min(Math.max(this.#lowest + octave, LOWEST), HIGHEST);
    announce(`From C ${this.#lowest / OCTAVE - 1}`);
  }
}
