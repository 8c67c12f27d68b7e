// A toggle button: its changes are announced to screen readers, and this browser remembers its state.

import { announce } from "./messages.js";

const PREFIX = "music-reformer-";

/** What this browser remembers under a name, or "". */
export function recalled(name) {
  try { return localStorage.getItem(PREFIX + name) ?? ""; } catch { return ""; }
}

export function remember(name, text) {
  try { localStorage.setItem(PREFIX + name, text); } catch { /* this browser keeps nothing */ }
}

export class Switch {
  /** `name`: for storage and announcements; `onChange(isOn)` is also called at once, with the remembered state. */
  constructor({ button, name, isOn = false, onChange }) {
    Object.assign(this, { button, name, onChange });
    button.addEventListener("click", () => this.toggle());
    this.#set(recalled(name) === "" ? isOn : recalled(name) === "on");
  }

  get isOn() { return this.button.getAttribute("aria-pressed") === "true"; }

  toggle() {
    this.#set(!this.isOn);
    remember(this.name, this.isOn ? "on" : "off");
    announce(`${this.name} ${this.isOn ? "on" : "off"}`);
  }

  #set(isOn) {
    this.button.setAttribute("aria-pressed", isOn);
    this.onChange(isOn);
  }
}
