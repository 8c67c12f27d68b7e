// The variations side by side: each is a small picture of its new notes, which fills up as it is composed.

import { clock, count, drawSmall, pitchRange } from "./draw.js";
import { fileAddress } from "./api.js";
import { letDragOut } from "./drag-out.js";

const DOWNLOAD = '<svg viewBox="0 0 20 20"><path d="M9 3h2v7h3l-4 4.500L6 10h3zM4 15h12v2H4z"/></svg>';

export class Cards {
  /** `onSelect(index)` receives the chosen variation, `onKeep(index)` the one to make the piece. */
  constructor({ element, onSelect, onKeep }) {
    Object.assign(this, { element, onSelect, onKeep });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(element);
    this.clear();
  }

  clear() {
    this.variations = [];
    this.element.replaceChildren();
  }

  /** Show `variations` ({fresh: new notes, done: 0 to 1, and once finished key, name and why}), whose new music lies from `from` to `to` seconds. */
  show(variations, { from, to }) {
    Object.assign(this, { variations, from, to });
    this.element.replaceChildren(...variations.map((_, index) => this.card(index)));
    this.element.toggleAttribute("data-several", variations.length > 3);
    this.element.toggleAttribute("data-many", variations.length > 4);
    this.update();
  }

  card(index) {
    const card = document.createElement("article");
    card.className = "card";
    const title = this.variations[index].joined ? "Joined" : `<span>Variation </span>${index + 1}`;
    card.innerHTML = `<button type="button" class="card-face"><span class="card-title"><b>${title}</b>`
      + `<small></small></span><canvas aria-hidden="true"></canvas><small class="card-why"></small></button><div class="card-actions"></div><i class="card-done"></i>`;
    card.querySelector("button").addEventListener("click", () => this.onSelect(index));
    return card;
  }

  /** The name of a variation within a sentence. */
  called(index) { return this.variations[index].joined ? "the joined bars" : `variation ${index + 1}`; }

  select(index) {
    [...this.element.children].forEach((card, at) => {
      card.toggleAttribute("data-selected", at === index);
      card.querySelector("button").setAttribute("aria-pressed", at === index);
    });
    this.element.children[index]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Bring the cards up to date with their variations. */
  update() {
    this.variations.forEach((variation, index) => {
      const card = this.element.children[index];
      const { fresh } = variation;
      const end = fresh.reduce((latest, note) => Math.max(latest, note.end), this.from);
      const length = this.variations.length > 3 ? "" : ` · ${clock(end - this.from)}`;
      card.querySelector("small").textContent = fresh.length ? count(fresh.length, "note") + length : "";
      card.querySelector(".card-done").style.width = variation.key ? "0" : `${variation.done * 100}%`;
      card.querySelector(".card-why").textContent = variation.why ?? "";
      const actions = card.querySelector(".card-actions");
      if (variation.key && !actions.children.length) {
        actions.append(this.keep(index), this.download(variation, index));
        letDragOut(card, () => ({ name: `${variation.name}.mid`, address: fileAddress(variation.key) }));
      }
    });
    this.draw();
  }

  keep(index) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button keep", textContent: "Keep" });
    button.title = "Make this variation the piece, and continue from it";
    button.setAttribute("aria-label", `Keep ${this.called(index)}`);
    button.addEventListener("click", () => this.onKeep(index));
    return button;
  }

  download(variation, index) {
    const link = document.createElement("a");
    link.className = "icon-button";
    link.href = fileAddress(variation.key);
    link.download = `${variation.name}.mid`;
    link.title = "Download as MIDI";
    link.setAttribute("aria-label", `Download ${this.called(index)} as MIDI`);
    link.innerHTML = DOWNLOAD;
    return link;
  }

  draw() {
    this.variations.forEach(({ fresh }, index) => {
      const canvas = this.element.children[index].querySelector("canvas");
      drawSmall(canvas, fresh, { from: this.from, to: Math.max(this.to, this.from + 0.1), range: pitchRange(fresh, 1) });
    });
  }
}
