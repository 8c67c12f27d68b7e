// The empty page: examples to start from, with small pictures; a large picture that turns into something new; and the pieces
// that were open last.

import { count, drawSmall } from "./draw.js";
import { scoreOf } from "./score.js";

const MAX_OFFERS = 3;

export class Welcome {
  /** `onExample(key)` or `onNothing()` is called for the visitor's choice. */
  constructor({ element, list, art, examples, onExample, onNothing }) {
    Object.assign(this, { element, list, art });
    this.pictures = new Map();
    const blank = { title: "From nothing", character: "Key, metre and tempo of your choice" };
    list.append(
      ...examples.map(({ key, roll, ...example }) => this.#button({ ...example, score: scoreOf(roll) }, () => onExample(key))),
      this.#button(blank, onNothing),
    );
    this.first = scoreOf(examples[0].roll);
    new ResizeObserver(() => this.draw()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Offer to continue with `sessions` (see `Versions.whole`) that were open before, instead of those offered so far. */
  offer(sessions, onClick) {
    for (const item of this.list.querySelectorAll(".former")) {
      this.pictures.delete(item.querySelector("canvas"));
      item.remove();
    }
    this.list.prepend(...sessions.slice(0, MAX_OFFERS).map((session) => this.#former(session, () => onClick(session))));
    this.draw();
  }

  #former({ list, current }, onClick) {
    const { name, score } = list[current];
    const character = `Continue where you left off${list.length > 1 ? ` · ${count(list.length, "version")}` : ""}`;
    const item = this.#button({ title: name, character, score }, onClick);
    item.className = "former";
    return item;
  }

  /** `score`: for the small picture, if any. */
  #button({ title, character, score = null }, onClick) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const text = document.createElement("div");
    text.append(Object.assign(document.createElement("b"), { textContent: title }));
    text.append(Object.assign(document.createElement("span"), { textContent: character }));
    button.append(text);
    if (score) {
      const canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      button.append(canvas);
      this.pictures.set(canvas, score);
    }
    button.addEventListener("click", onClick);
    item.append(button);
    return item;
  }

  draw() {
    if (!this.element.clientWidth) return;
    for (const [canvas, { notes, seconds }] of this.pictures) drawSmall(canvas, notes, { from: 0, to: seconds });
    const { notes, seconds } = this.first;
    drawSmall(this.art, notes.filter((note) => !note.drum), { from: 0, to: seconds, cut: seconds * 0.5 });
  }
}
