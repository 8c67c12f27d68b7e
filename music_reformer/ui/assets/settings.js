// The form: how long, how many, in what style.

const SLIDERS = ["temperature", "top_p", "min_p", "repetition_penalty"];
const HINTS = {
  calm: "Keeps close to what is there.",
  balanced: "Follows the piece, with ideas of its own.",
  adventurous: "Takes risks: further from the piece, now and then too far.",
};

export class Settings {
  constructor({ form, styles, limits }) {
    Object.assign(this, { form, styles, limits });
    form.querySelector("#variation-choice").innerHTML = Array.from({ length: limits.variations }, (_, index) => {
      const number = index + 1;
      return `<input type="radio" name="variations" id="variations-${number}" value="${number}" ${number === 2 ? "checked" : ""}>`
        + `<label for="variations-${number}">${number}</label>`;
    }).join("");
    form.addEventListener("change", (event) => {
      if (event.target.name === "style") this.applyStyle();
      if (event.target.name === "unit") this.applyUnit();
    });
    form.addEventListener("input", () => this.showNumbers());
    this.applyStyle();
    this.applyUnit({ keep: true });
  }

  get style() { return this.form.elements.style.value; }
  get seed() { return this.form.querySelector("#seed"); }

  applyStyle() {
    for (const name of SLIDERS) this.form.querySelector(`#${name}`).value = this.styles[this.style][name];
    this.form.querySelector("#style-hint").textContent = HINTS[this.style];
    this.showNumbers();
  }

  applyUnit({ keep = false } = {}) {
    const { amount, unit } = this.form.elements;
    amount.max = unit.value === "bars" ? this.limits.bars : this.limits.seconds;
    // The same stretch of music in the other unit, about: a bar is two seconds at 120.
    if (!keep) amount.value = Math.min(amount.max, Math.max(1, Math.round(unit.value === "bars" ? amount.value / 2 : amount.value * 2)));
  }

  showNumbers() {
    for (const output of this.form.querySelectorAll("output")) {
      output.value = Number(this.form.querySelector(`#${output.htmlFor}`).value).toFixed(2);
    }
  }

  /** What the server's compose operation takes after the piece. */
  read() {
    const { amount, unit, variations } = this.form.elements;
    const sampling = Object.fromEntries(SLIDERS.map((name) => [name, Number(this.form.querySelector(`#${name}`).value)]));
    return {
      length: `${amount.value}${unit.value}`,
      bars: unit.value === "bars" ? Number(amount.value) : null,
      seconds: unit.value === "s" ? Number(amount.value) : null,
      variations: Number(variations.value),
      seed: this.seed.value === "" ? -1 : Number(this.seed.value),
      style: this.style,
      sampling,
    };
  }
}
