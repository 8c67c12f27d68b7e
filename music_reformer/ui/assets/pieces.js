// The pieces of this tab, if several files were opened at once: the list in place of the title switches between
// them. Each keeps its versions and what was composed from them.

import { MAX_PIECES } from "./memory.js";

export class Pieces {
  batch = Symbol();  // replaced when the visitor starts over
  #sessions = [];  // see `Versions.whole`; for the piece on show, its last stowed state
  #current = 0;

  /** `session()` returns what is open as a session; `onGo(session)` shows another one. */
  constructor({ element, memory, session, onGo }) {
    Object.assign(this, { element, memory, session, onGo });
    element.addEventListener("change", () => this.onGo(this.#sessions[Number(element.value)]));
  }

  /** Add a piece to the list. */
  add(session) {
    if (!this.#sessions.length) [this.#sessions, this.#current] = [[this.session()], 0];
    if (this.#sessions.length < MAX_PIECES) this.#sessions.push(this.memory.keep(session));
    this.#draw();
  }

  /** Store the state of the open piece in the list, before another is shown. */
  stow() {
    if (this.#sessions.length) this.#sessions[this.#current] = this.session();
  }

  /** Called when a piece is opened that was not in the list. */
  arrive() {
    if (!this.#sessions.length) return;
    this.#sessions.push(this.session());
    if (this.#sessions.length > MAX_PIECES) this.#sessions.shift();  // it can still be continued after starting over
    this.#current = this.#sessions.length - 1;
    this.#draw();
  }

  /** Called when a piece of the list is shown again. */
  return(session) {
    this.#current = Math.max(this.#sessions.indexOf(session), 0);
    this.#draw();
  }

  /** Restore the list that this tab had before the reload. */
  restore(sessions) {
    if (!this.memory.hadSeveral) return;
    [this.#sessions, this.#current] = [[this.session(), ...sessions].slice(0, MAX_PIECES), 0];
    this.#draw();
  }

  clear() {
    this.batch = Symbol();
    this.#sessions = [];
    this.#draw();
  }

  #draw() {
    const { element } = this;
    const names = this.#sessions.map(({ list, current }) => list[current].name);
    element.hidden = names.length < 2;
    this.memory.hasSeveral = !element.hidden;
    element.replaceChildren(...names.map((name, place) => new Option(name, place)));
    element.value = this.#current;
  }
}
