// Opening a piece: files, an example, an empty piece, what a link names, or what this browser remembers.

import { Problem, openExample, openFile, openKept } from "./api.js";
import { count } from "./draw.js";
import { clearLink } from "./link.js";
import { MAX_PIECES } from "./memory.js";
import { announce, complain, dismiss } from "./messages.js";
import { EMPTY, scoreOf } from "./score.js";
import { listOf } from "./settings.js";
import { facts, repairs } from "./wording.js";

export class Opening {
  #attempt = null;  // the latest attempt; results of earlier ones are dropped

  /** `pieces`: the list of pieces open in this tab. */
  constructor({ piece, desk, composing, settings, asked, locks, memory, pieces, limits }) {
    Object.assign(this, { piece, desk, composing, settings, asked, locks, memory, pieces, limits });
  }

  /** Open files: each becomes a piece of its own, and the first is shown. */
  async files(files) {
    const left = files.slice(0, MAX_PIECES);
    const problems = [];
    const next = async () => {
      while (left.length) {
        const file = left.shift();
        try { return await this.#sent(file); } catch (error) { problems.push({ file, error }); }
      }
      throw problems.at(-1).error;
    };
    if (!files.length || !await this.#open(next)) return;
    const batch = this.pieces.batch;
    while (left.length) {
      const brought = await next().catch(() => null);
      if (this.pieces.batch !== batch) return;  // the visitor has started over
      if (brought) this.pieces.add(sessionOf(brought));
    }
    if (files.length > 1) tellOpened(files.length, problems);
  }

  /** Send a file to the server; resolves to its piece. */
  #sent(file) {
    if (file.size <= this.limits.bytes) return openFile(file);
    const [size, most] = [file.size, this.limits.bytes].map((bytes) => (bytes / 1e6).toFixed(1).replace(".0", ""));
    throw new Problem(`This file is ${size} MB; the largest that can be opened is ${most} MB.`);
  }

  example(key, words) { this.#open(() => openExample(key), { source: `example:${key}`, words }); }
  emptyPiece(words) { this.#open(async () => ({ key: "", name: "From nothing" }), { source: "nothing", words }); }

  /** Reopen the file of the piece with its own bars. */
  ownBars() {
    const { ownBars, name } = this.piece.version;
    this.#open(async () => ({ ...await openKept(ownBars), name }));
  }

  /** Open what a link names. Returns whether it names anything. */
  follow(words) {
    const source = words.get("piece") ?? "";
    const [kind, key] = [source.slice(0, source.indexOf(":")), source.slice(source.indexOf(":") + 1)];
    if (source === "nothing") this.emptyPiece(words);
    else if (kind === "example") this.example(key, words);
    else if (kind === "kept") this.#open(() => openKept(key), { words });
    else return false;
    return true;
  }

  /** Continue with a session that this browser has kept, if the server still has its files. `isOwn`: this tab had it
   *  open before the reload. */
  resume(session, { isOwn = false } = {}) {
    const { key } = session.list[session.current];
    return this.#arrive(async () => key && openKept(key), (kept) => {
      if (isOwn) this.memory.claim(session);
      try {
        this.piece.versions.restore(session);
        this.asked.write(session.asked ?? {});
        this.locks.restore(session.locks ?? []);
        const { version } = this.piece;
        // Sessions kept by an older page have no chords.
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

  /** Close the piece with its variations, and abandon a composition. Resolves once the browser has kept the piece. */
  leave() {
    const remembered = this.memory.close();
    this.composing.forget();
    this.#attempt = null;
    this.desk.clear();
    dismiss();
    return remembered;
  }

  #open(fetchPiece, { source = "", words = null } = {}) {
    return this.#arrive(fetchPiece, ({ roll, ...brought }) => {
      const { desk, piece, settings } = this;
      const { key, name } = brought;
      const score = roll ? scoreOf(roll) : EMPTY;
      piece.versions.plant({ ...opened({ ...brought, score }), source });
      this.pieces.arrive();
      desk.instruments.show(score);
      this.asked.write({ chords: "", form: "" });  // these requests were for another piece
      if (words) {
        settings.apply(words);
        this.locks.lock(listOf(words.get("locked")));
      }
      const wanted = words && barsOf(words);
      if (wanted) piece.want(wanted);
      desk.show();
      desk.phase.enter("ready");
      announce(key ? `Opened ${name}, ${facts(score)}. ${repairs(piece.version)}` : "An empty piece");
    }, { keepLink: words !== null });
  }

  /** Have `plant` show what `fetch` returns, without anything of the former piece. If it fails, the former piece stays.
   *  Resolves to whether it is shown. */
  async #arrive(fetch, plant, { keepLink }) {
    const { phase, transport } = this.desk;
    dismiss();
    phase.enter("opening");
    const attempt = (this.#attempt = Symbol());
    let brought;
    try {
      brought = await fetch();
    } catch (error) {
      if (this.#attempt !== attempt) return false;
      phase.resume();
      complain(error);
      return false;
    }
    if (this.#attempt !== attempt) return false;
    try {
      this.pieces.stow();
      this.leave();
      if (!keepLink) clearLink();
      plant(brought);
      transport.prepare();
      return true;
    } catch (error) {
      this.leave();
      phase.enter("empty");
      complain(error);
      return false;
    }
  }
}

/** A piece as the first version of its tree. */
const opened = ({ key, name, score, notices, own_bars: ownBars }) => (
  { key, name, label: key ? "Opened" : "From nothing", source: "", score, notices, ownBars, selected: null }
);

/** A piece that the server has opened, as a session. */
const sessionOf = ({ roll, ...piece }) => (
  { list: [{ ...opened({ ...piece, score: scoreOf(roll) }), parent: -1, latest: -1 }], current: 0, asked: { chords: "", form: "" } }
);

/** Report the result of opening several files; `problems` are {file, error}. */
function tellOpened(given, problems) {
  const tried = Math.min(given, MAX_PIECES);
  announce(`${count(tried - problems.length, "piece")} opened`);
  const refused = problems.map(({ file, error }) => `${file.name}: ${error instanceof Problem ? error.message : "cannot be opened."}`);
  if (given > tried) refused.push(`The first ${tried} of ${given} files were opened; open the others afterwards.`);
  if (refused.length) complain(new Problem(refused.join(" ")));
}

/** The wanted bars {cut, until, tracks} of a link, or null if it names none. "-1" stands for all bars. */
function barsOf(words) {
  const bars = (name) => (/^\d+$/.test(words.get(name) ?? "") ? Number(words.get(name)) : null);
  return bars("cut_bar") === null ? null : { cut: bars("cut_bar"), until: bars("until_bar"), tracks: tracksOf(words) };
}

/** The indices of the wanted tracks of a link. */
const tracksOf = (words) => (words.get("tracks") ?? "").split(",").filter((text) => /^\d+$/.test(text)).map(Number);
