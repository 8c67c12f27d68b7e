// The requests for single parts: which rest or keep their notes in the new bars, and how a part should differ from what it has
// played, in addition to the requests for all parts. One set of sliders serves all; a list above it selects the part, or all parts.

export const WISHES = ["density", "polyphony", "register", "dynamics"];
const ROLES = { rest: "rests", lock: "stays as it is" };
const NOTHING = { role: "play", ...Object.fromEntries(WISHES.map((name) => [name, 0])) };

export class Parts {
  #all = { ...NOTHING };
  #asked = new Map();  // index of a track in the file -> {role, density, ...}
  #tracks = [];

  constructor({ form }) {
    this.form = form;
    for (const name of WISHES) this.#find(name).addEventListener("input", () => this.#change(name, Number(this.#find(name).value)));
    this.#find("part-role").addEventListener("change", () => this.#change("role", this.#find("part-role").value));
    this.#find("part").addEventListener("input", () => this.#showValues());
  }

  #find(id) { return this.form.querySelector(`#${id}`); }
  get #chosen() { return this.#find("part").value; }
  #of(index) { return this.#asked.get(index) ?? NOTHING; }

  /** Offer the parts of a piece; requests for tracks that it lacks are dropped. */
  show({ tracks }) {
    const chosen = this.#chosen;
    this.#tracks = tracks;
    for (const index of this.#asked.keys()) if (!tracks.some((track) => track.index === index)) this.#asked.delete(index);
    this.#find("part").replaceChildren(new Option("All parts", ""), ...tracks.map(({ name, index }) => new Option(name, index)));
    this.#find("part").value = tracks.some(({ index }) => `${index}` === chosen) ? chosen : "";
    for (const row of ["part-label", "part"]) this.#find(row).hidden = tracks.length < 2;
    this.#showValues();
  }

  #change(name, value) {
    if (this.#chosen === "") this.#all[name] = value;
    else this.#asked.set(Number(this.#chosen), { ...this.#of(Number(this.#chosen)), [name]: value });
    this.#showNote();
    this.#showWords();
  }

  /** Show sliders and role of the selected part. */
  #showValues() {
    const isOne = this.#chosen !== "";
    const values = isOne ? this.#of(Number(this.#chosen)) : this.#all;
    for (const name of WISHES) this.#find(name).value = values[name];
    this.#find("part-role").value = values.role;
    for (const id of ["part-role", "part-role-label"]) this.#find(id).hidden = !isOne;
    this.#showNote();
    this.#showWords();
  }

  /** The meaning of a slider's middle. */
  #showWords() {
    for (const name of WISHES) {
      const { dataset } = this.#find(name);
      const [less, , more] = dataset.words.split(",");
      dataset.words = [less, this.#chosen !== "" && this.#all[name] ? "as all" : "as before", more].join(",");
    }
  }

  #showNote() {
    const told = this.#tracks.flatMap(({ index, name }) => {
      const asked = this.#of(index);
      const differs = WISHES.some((wish) => asked[wish]) ? ["differs"] : [];
      const does = [...(ROLES[asked.role] ? [ROLES[asked.role]] : []), ...(asked.role === "play" ? differs : [])];
      return does.length ? [`${name} ${does.join(", ")}`] : [];
    });
    const stays = [...this.#asked.values()].some(({ role }) => role === "lock");
    this.#find("parts-note").textContent = [...(told.length ? [`${told.join("; ")}.`] : []), ...(stays ? ["A part can stay only in bars that are marked on the roll; mark some."] : [])].join(" ");
  }

  /** Fields of an order: the wishes for all parts, and the parts with further requests. `recomposes`: bars of the piece are
   *  recomposed, in the `tracks` with these indices; otherwise no part can keep its notes. */
  read({ recomposes, tracks = [] }) {
    const order = Object.fromEntries(WISHES.filter((name) => this.#all[name]).map((name) => [name, this.#all[name]]));
    const parts = [...this.#asked].flatMap(([track, asked]) => {
      const canStay = recomposes && !tracks.includes(track);
      const { role, ...wishes } = asked.role === "lock" && !canStay ? { ...asked, role: "play" } : asked;
      const wanted = Object.fromEntries(Object.entries(wishes).filter(([, steps]) => steps && role === "play"));
      return role === "play" && !Object.keys(wanted).length ? [] : [{ track, ...(role === "play" ? wanted : { role }) }];
    });
    return parts.length ? { ...order, parts } : order;
  }

  /** Whether any part should keep its notes. */
  get someStay() { return [...this.#asked.values()].some(({ role }) => role === "lock"); }

  /** Set the requests from a link: `all` maps wishes to numbers, `parts` is a list as in an order. */
  apply(all, parts) {
    for (const name of WISHES) if (Number.isFinite(all[name])) this.#all[name] = all[name];
    for (const { track, program: _, ...asked } of parts) {
      if (this.#tracks.some(({ index }) => index === track)) this.#asked.set(track, { ...NOTHING, ...asked });
    }
    this.#showValues();
  }
}
