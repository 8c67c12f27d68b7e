// The settings form: length, number of variations, style and so on; and the link that restores all of it.

import { AS_BEFORE } from "./asked.js";
import { WISHES } from "./parts.js";

const SLIDERS = ["temperature", "top_p", "min_p", "repetition_penalty", "hold"];
const HINTS = {
  calm: "Stays close to the piece.",
  balanced: "Follows the piece, with ideas of its own.",
  adventurous: "Takes risks: moves further from the piece, sometimes too far.",
};

/** The text of a slider between two opposites: "denser +2". */
const wording = (steps, [less, same, more]) => (steps === 0 ? same : `${steps < 0 ? less : more} ${steps < 0 ? "\u2212" : "+"}${Math.abs(steps)}`);

export class Settings {
  constructor({ form, asked, instruments, parts, styles, limits, keys, metres, can_end: canEnd, can_be_steered: canBeSteered }) {
    Object.assign(this, { form, asked, instruments, parts, styles, limits });
    this.find("#variation-choice").innerHTML = Array.from({ length: limits.variations }, (_, index) => {
      const number = index + 1;
      return `<input type="radio" name="variations" id="variations-${number}" value="${number}" ${number === 2 ? "checked" : ""}>`
        + `<label for="variations-${number}">${number}</label>`;
    }).join("");
    this.find("#ending-row").hidden = !canEnd;
    this.find("#steering").hidden = !canBeSteered;
    this.find("#chords-again").addEventListener("click", () => asked.write({ chords: AS_BEFORE }));
    this.find("#key-ahead").append(new Option("As before", ""), ...keys.map((key) => new Option(key)));
    this.find("#metre-ahead").append(new Option("As before", ""), ...metres.map((metre) => new Option(metre)));
    this.find("#key").append(new Option("As it comes", ""), ...keys.map((key) => new Option(key)));
    this.find("#metre").append(...metres.map((metre) => new Option(metre)));
    [this.find("#tempo").min, this.find("#tempo").max] = limits.tempo;
    form.addEventListener("change", (event) => {
      if (event.target.name === "style") this.applyStyle();
      if (event.target.name === "unit") this.applyUnit();
    });
    form.addEventListener("input", () => this.showNumbers());
    this.applyStyle();
    this.applyUnit({ keep: true });
  }

  find(selector) { return this.form.querySelector(selector); }
  get style() { return this.form.elements.style.value; }
  get seed() { return this.find("#seed"); }

  applyStyle() {
    for (const name of SLIDERS) this.find(`#${name}`).value = this.styles[this.style][name];
    this.find("#style-hint").textContent = HINTS[this.style];
    this.showNumbers();
  }

  applyUnit({ keep = false } = {}) {
    const { amount, unit } = this.form.elements;
    amount.max = unit.value === "bars" ? this.limits.bars : this.limits.seconds;
    // About the same length in the other unit: a bar lasts two seconds at tempo 120.
    if (!keep) amount.value = Math.min(amount.max, Math.max(1, Math.round(unit.value === "bars" ? amount.value / 2 : amount.value * 2)));
  }

  showNumbers() {
    for (const output of this.form.querySelectorAll("output")) {
      const { value, dataset } = this.find(`#${output.htmlFor}`);
      output.value = dataset.words ? wording(Number(value), dataset.words.split(",")) : Number(value).toFixed(2);
    }
  }

  /** Fields of an order to the server, without the piece and the cut. */
  read({ fromNothing }) {
    const { amount, unit, variations } = this.form.elements;
    const order = {
      length: `${amount.value}${unit.value}`,
      variations: Number(variations.value),
      seed: this.seed.value === "" ? -1 : Number(this.seed.value),
      style: this.style,
      sampling: Object.fromEntries(SLIDERS.map((name) => [name, Number(this.find(`#${name}`).value)])),
      instruments: this.instruments.read(),
      ending: this.find("#ending").checked,
      study: this.find("#study").checked,
      best_of: this.find("#choose").checked ? 2 : 1,
    };
    const { chords, form } = this.asked;
    if (chords) order.chords = chords.toLowerCase() === AS_BEFORE ? "piece" : chords;
    if (form) order.form = form;
    if (!fromNothing) this.#addParts(order);
    const { value: metreAhead, disabled: keepsMetre } = this.find("#metre-ahead");
    if (!fromNothing) return { ...order, key: this.find("#key-ahead").value, metre: keepsMetre ? "" : metreAhead };
    const [key, metre, tempo] = ["#key", "#metre", "#tempo"].map((selector) => this.find(selector).value);
    return { ...order, key, metre, tempo: Number(tempo) };
  }

  #addParts(order) {
    const { parts = [], ...wishes } = this.parts.read({ recomposes: true });
    const all = [...parts, ...this.instruments.newTracks.map((program) => ({ program }))];
    Object.assign(order, wishes, all.length && { parts: all });
  }

  /** Settings of an empty piece: {metre: [beats, unit], tempo, program (-1: drums)}. */
  get blank() {
    const tempo = Number(this.find("#tempo").value);
    const [low, high] = this.limits.tempo;
    return {
      metre: this.find("#metre").value.split("/").map(Number), tempo: Math.min(Math.max(tempo || 110, low), high),
      program: this.instruments.read()[0] ?? 0,
    };
  }

  /** An order as the parameters of a link. */
  static toLink(order, source) {
    const words = new URLSearchParams({ piece: source });
    const { sampling, instruments, parts, locked, piece: _, ...rest } = order;
    for (const [name, value] of Object.entries({ ...rest, ...sampling })) if (value !== "") words.set(name, value);
    for (const [name, list] of Object.entries({ parts, locked })) if (list?.length) words.set(name, JSON.stringify(list));
    if (instruments.length) words.set("instruments", instruments.join(","));
    return words;
  }

  /** Set the form from a link; missing or invalid parameters leave their fields unchanged. */
  apply(words) {
    const [, amount, unit] = words.get("length")?.match(/^(\d+)(bars|s)$/) ?? [];
    if (amount) {
      this.#pick("unit", unit);
      this.applyUnit({ keep: true });
      this.find("#amount").value = amount;
    }
    this.#pick("variations", words.get("variations"));
    this.#pick("style", words.get("style"));
    this.applyStyle();
    for (const name of [...SLIDERS, "tempo"]) if (words.has(name) && Number.isFinite(Number(words.get(name)))) this.find(`#${name}`).value = words.get(name);
    for (const [id, name] of [["key", "key"], ["key-ahead", "key"], ["metre", "metre"], ["metre-ahead", "metre"]]) {
      const select = this.find(`#${id}`);
      if ([...select.options].some((option) => option.value === words.get(name))) select.value = words.get(name);
    }
    this.asked.write({ form: words.get("form"), chords: words.get("chords") === "piece" ? AS_BEFORE : words.get("chords") });
    const asked = listOf(words.get("parts"));
    this.parts.apply(Object.fromEntries(WISHES.filter((name) => words.has(name)).map((name) => [name, Number(words.get(name))])), asked);
    for (const { program } of asked) if (Number.isInteger(program)) this.instruments.addTrack(program);
    if (["chords", "form", "key", "metre", "parts", ...WISHES].some((name) => words.get(name))) this.find("#steering").open = true;
    if (words.has("ending")) this.find("#ending").checked = words.get("ending") === "true";
    if (words.has("best_of")) this.find("#choose").checked = words.get("best_of") !== "1";
    if (words.has("study")) this.find("#study").checked = words.get("study") === "true";
    if (/^\d+$/.test(words.get("seed") ?? "")) this.seed.value = words.get("seed");
    const programs = (words.get("instruments") ?? "").split(",").filter(Boolean).map(Number);
    if (programs.length && programs.every((program) => Number.isInteger(program) && program >= -1 && program < 128)) this.instruments.choose(programs);
    this.showNumbers();
  }

  #pick(name, value) {
    const radio = [...this.form.elements[name]].find((option) => option.value === value);
    if (radio) radio.checked = true;
  }
}

/** A list of objects from a link's JSON; empty for anything else. */
export function listOf(text) {
  try {
    const list = JSON.parse(text ?? "[]");
    return Array.isArray(list) ? list.filter((each) => each !== null && typeof each === "object") : [];
  } catch {
    return [];
  }
}
