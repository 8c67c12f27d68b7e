// Opening a piece: a file, an example, an empty piece, what a link names, or what this browser remembers.

import { Problem, openExample, openFile, openKept } from "./api.js";
import { clearLink } from "./link.js";
import { announce, complain, dismiss } from "./messages.js";
import { EMPTY, scoreOf } from "./score.js";
import { facts, repairs } from "./wording.js";

export class Opening {
  #attempt = null;  // the last one; what earlier ones bring is no longer wanted

  constructor({ piece, desk, composing, settings, asked, memory, limits }) {
    Object.assign(this, { piece, desk, composing, settings, asked, memory, limits });
  }

  file(file) {
    if (!file) return;
    if (file.size > this.limits.bytes) {
      const [size, most] = [file.size, this.limits.bytes].map((bytes) => (bytes / 1e6).toFixed(1).replace(".0", ""));
      complain(new Problem(`This file is ${size} MB; the largest that can be opened is ${most} MB.`));
      return;
    }
    this.#open(() => openFile(file));
  }

  example(key, words) { this.#open(() => openExample(key), { source: `example:${key}`, words }); }
  emptyPiece(words) { this.#open(async () => ({ key: "", name: "From nothing" }), { source: "nothing", words }); }

  /** Open what a link names, in its words. Returns whether it names anything. */
  follow(words) {
    const source = words.get("piece") ?? "";
    const [kind, key] = [source.slice(0, source.indexOf(":")), source.slice(source.indexOf(":") + 1)];
    if (source === "nothing") this.emptyPiece(words);
    else if (kind === "example") this.example(key, words);
    else if (kind === "kept") this.#open(() => openKept(key), { words });
    else return false;
    return true;
  }

  /** Continue with versions that this browser has kept, if the server still has their files. `isOwn`: this tab had them
   *  open before it was reloaded. */
  resume(session, { isOwn = false } = {}) {
    const { key } = session.list[session.current];
    this.#arrive(async () => key && openKept(key), (kept) => {
      if (isOwn) this.memory.claim(session);
      try {
        this.piece.versions.restore(session);
        this.asked.write(session.asked ?? {});
        const { version } = this.piece;
        // An older page has kept no chords.
        if (kept && !version.score.chords) version.score = scoreOf(kept.roll);
        this.desk.arrive();
      } catch (error) {
        console.error(error);
        this.memory.forget(session);
        throw new Problem("What this browser remembers of your piece is damaged. Open the file again.");
      }
      announce(`Continuing with ${this.piece.version.name}`);
    }, { keepLink: true });
  }

  /** Close the piece, with its variations and what is being composed. Resolves when the browser remembers it. */
  leave() {
    const remembered = this.memory.close();
    this.composing.forget();
    this.#attempt = null;
    this.desk.clear();
    dismiss();
    return remembered;
  }

  #open(fetchPiece, { source = "", words = null } = {}) {
    this.#arrive(fetchPiece, ({ key, name, roll, notices }) => {
      const { desk, piece, settings } = this;
      const score = roll ? scoreOf(roll) : EMPTY;
      piece.versions.plant({ key, name, label: key ? "Opened" : "From nothing", source, score, notices, selected: null });
      desk.instruments.show(score);
      this.asked.write({ chords: "", form: "" });  // what was asked for was asked of another piece
      if (words) settings.apply(words);
      const wanted = words && barsOf(words);
      if (wanted) piece.want(wanted);
      desk.show();
      desk.phase.enter("ready");
      announce(key ? `Opened ${name}, ${facts(score)}. ${repairs(piece.version)}` : "An empty piece");
    }, { keepLink: words !== null });
  }

  /** Have `plant` show what `fetch` brings, with nothing of the former piece in view. If nothing comes, that one stays. */
  async #arrive(fetch, plant, { keepLink }) {
    const { phase, transport } = this.desk;
    dismiss();
    phase.enter("opening");
    const attempt = (this.#attempt = Symbol());
    let brought;
    try {
      brought = await fetch();
    } catch (error) {
      if (this.#attempt !== attempt) return;
      phase.resume();
      complain(error);
      return;
    }
    if (this.#attempt !== attempt) return;
    try {
      this.leave();
      if (!keepLink) clearLink();
      plant(brought);
      transport.prepare();
    } catch (error) {
      this.leave();
      phase.enter("empty");
      complain(error);
    }
  }
}

/** The bars {cut, until, tracks} that a link wants composed, or null where it does not say. "-1" is all bars. */
function barsOf(words) {
  const bars = (name) => (/^\d+$/.test(words.get(name) ?? "") ? Number(words.get(name)) : null);
  return bars("cut_bar") === null ? null : { cut: bars("cut_bar"), until: bars("until_bar"), tracks: tracksOf(words) };
}

/** The indices of the tracks that a link wants composed. */
const tracksOf = (words) => (words.get("tracks") ?? "").split(",").filter((text) => /^\d+$/.test(text)).map(Number);
