// A button that is on or off: it is spoken, and this browser remembers it.

import { announce } from "./messages.js";

const PREFIX = "music-reformer-";

/** What this browser remembers under a name; "" where it remembers nothing. */
export function recalled(name) {
  try { return localStorage.getItem(PREFIX + name) ?? ""; } catch { return ""; }
}

export function remember(name, text) {
  try { localStorage.setItem(PREFIX + name, text); } catch { /* a browser that keeps nothing is no fault of the visitor's */ }
}

export class Switch {
  /** `name`: what it is remembered and spoken by; `onChange(isOn)` is called at once, too, with what is remembered. */
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
