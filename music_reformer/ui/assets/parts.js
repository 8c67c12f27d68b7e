// What is asked of single parts: who rests or stays as it is in the new bars, and how a part is to differ from what it has
// played, beyond what is asked of all. One set of sliders serves all parts and each of them; a list above it says whose they are.

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

  /** Offer the parts of a piece; what was asked of tracks that it lacks is forgotten. */
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

  /** Sliders and role of the part that is chosen. */
  #showValues() {
    const isOne = this.#chosen !== "";
    const values = isOne ? this.#of(Number(this.#chosen)) : this.#all;
    for (const name of WISHES) this.#find(name).value = values[name];
    this.#find("part-role").value = values.role;
    for (const id of ["part-role", "part-role-label"]) this.#find(id).hidden = !isOne;
    this.#showNote();
    this.#showWords();
  }

  /** What the middle of a slider stands for. */
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

  /** Fields of an order: the wishes of all parts, and the parts of which more is asked. `recomposes`: bars of the piece are
   *  composed anew, of the `tracks` with some indices; elsewhere nothing can stay. */
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

  /** Whether any part is to stay as it is. */
  get someStay() { return [...this.#asked.values()].some(({ role }) => role === "lock"); }

  /** Take what a link says: `all` maps wishes to numbers, `parts` is a list as in an order. */
  apply(all, parts) {
    for (const name of WISHES) if (Number.isFinite(all[name])) this.#all[name] = all[name];
    for (const { track, program: _, ...asked } of parts) {
      if (this.#tracks.some(({ index }) => index === track)) this.#asked.set(track, { ...NOTHING, ...asked });
    }
    this.#showValues();
  }
}
