// The pieces of this tab, where several files were opened at once: the list in the place of the title goes from one to
// another. Each keeps its versions, and what was composed from them.

import { MAX_PIECES } from "./memory.js";

export class Pieces {
  batch = Symbol();  // another one when the visitor starts over
  #sessions = [];  // see `Versions.whole`; of the one on show, what was stowed last
  #current = 0;

  /** `session()` gives what is open as a session, `onGo(session)` shows another. */
  constructor({ element, memory, session, onGo }) {
    Object.assign(this, { element, memory, session, onGo });
    element.addEventListener("change", () => this.onGo(this.#sessions[Number(element.value)]));
  }

  /** A further piece, beside what is open. */
  add(session) {
    if (!this.#sessions.length) [this.#sessions, this.#current] = [[this.session()], 0];
    if (this.#sessions.length < MAX_PIECES) this.#sessions.push(this.memory.keep(session));
    this.#draw();
  }

  /** What is open is about to go: keep it in the list. */
  stow() {
    if (this.#sessions.length) this.#sessions[this.#current] = this.session();
  }

  /** A piece is open that was not in the list. */
  arrive() {
    if (!this.#sessions.length) return;
    this.#sessions.push(this.session());
    if (this.#sessions.length > MAX_PIECES) this.#sessions.shift();  // it can still be continued after starting over
    this.#current = this.#sessions.length - 1;
    this.#draw();
  }

  /** A piece of the list is shown again. */
  return(session) {
    this.#current = Math.max(this.#sessions.indexOf(session), 0);
    this.#draw();
  }

  /** This tab had several before it was reloaded. */
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
