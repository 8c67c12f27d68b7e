// One order to the server, from its place in the queue to its finished variations. Its result is a `run`:
// {order, cutBar, untilBar, tracks, variations, seed, cut, cutTick, end, until, untilTick, missing, missingTracks, dropped,
// composed}. Each variation has a score from its first note on. While composing, there may be more variations (`composed`)
// than are kept in the end. `until`, `untilBar` and `untilTick` are null if the piece does not go on after the new music.

import { call, stop, waiting } from "./api.js";
import { duration } from "./draw.js";
import { Live, continued } from "./score.js";

export class Composition {
  #job = new AbortController();
  #ticket = null;
  #placeTimer = null;

  /** `onStart(run)`, `onGrowth(run, notes)` and `onProgress(share, text)` report progress. */
  constructor({ version, order, cutBar, untilBar, tracks, instruments, onStart, onGrowth, onProgress }) {
    Object.assign(this, { version, instruments, onStart, onGrowth, onProgress });
    this.run = { order, cutBar, untilBar, tracks, variations: [] };
  }

  /** Resolves to the finished run, or to null if the visitor left. */
  async compose() {
    if (this.left) return null;
    try {
      await call("compose", [this.run.order], {
        signal: this.#job.signal,
        onPlace: (ahead) => this.#queued(ahead),
        onReport: (news) => { if (!this.left) this.#hear(news); },
      });
    } finally {
      clearTimeout(this.#placeTimer);
    }
    return this.left || !this.run.finished ? null : this.run;
  }

  get left() { return this.#job.signal.aborted; }
  get started() { return this.#ticket !== null; }
  /** Whether there is anything to keep: not while the piece is still being read. */
  get hasNotes() { return this.run.variations.some(({ fresh }) => fresh.length > 0); }

  /** Leave the queue or the composition, and discard it. */
  leave() { this.#job.abort(); }

  /** Stop, and keep what is composed. */
  stop() { return stop(this.#ticket); }

  #queued(ahead) {
    clearTimeout(this.#placeTimer);
    if (!ahead || this.started) return;
    // The server reports a place in the queue even if nobody waits; show it only if it lasts.
    this.#placeTimer = setTimeout(() => this.#tellPlace(ahead), 300);
  }

  async #tellPlace(ahead) {
    const { seconds_left: left, typical } = await waiting().catch(() => ({ seconds_left: null, typical: null }));
    if (this.left || this.started) return;
    const isKnown = left !== null && (ahead === 1 || typical !== null);
    const wait = isKnown ? left + (ahead - 1) * typical : 0;
    this.onProgress(0, `Waiting: ${ahead} ahead of you${wait > 0 ? ` · about ${duration(wait)}` : ""}`);
    this.#placeTimer = setTimeout(() => this.#tellPlace(ahead), 2000);
  }

  #hear(news) {
    if (news.event === "start") this.#begin(news);
    else if (news.event === "progress") this.#goOn(news);
    else this.#finish(news);
  }

  #begin({ ticket, seed, cut, cut_tick: cutTick, end, until_tick: untilTick, missing, missing_tracks: missingTracks, dropped_bars: dropped, composed }) {
    clearTimeout(this.#placeTimer);
    this.#ticket = ticket;
    Object.assign(this.run, { seed, cut, cutTick, end, until: untilTick === null ? null : end, untilTick, missing, missingTracks, dropped, composed });
    this.run.variations = Array.from({ length: composed }, () => (
      { score: new Live(this.version.score, this.run), fresh: [], done: 0, frontier: cut }
    ));
    this.onStart(this.run);
    this.onProgress(0, "Reading your piece…");
  }

  #goOn({ done, notes, tokens_per_second: speed, seconds_left: left }) {
    const { variations, cut, end } = this.run;
    for (const row of notes) variations[row[0]].fresh.push(variations[row[0]].score.add(row, this.instruments));
    variations.forEach((variation, index) => {
      variation.done = done[index];
      variation.frontier = cut + done[index] * (end - cut);
    });
    this.onGrowth(this.run);
    const mean = done.reduce((sum, share) => sum + share, 0) / done.length;
    const wait = left === null ? "" : ` · ${left < 1.5 ? "almost done" : `about ${duration(left)} left`}`;
    if (speed > 0) this.onProgress(mean, `${Math.round(speed)} tokens/s${wait}`);
  }

  #finish({ variations, people }) {
    this.run.people = people;
    this.run.variations = variations.map(({ key, name, roll, lossy, candidate, rank, reasons, longest_in_piece: inPiece, longest_in_training: inTraining }) => {
      const score = continued(this.version.score, this.run, roll);
      const fresh = score.notes.filter((note) => note.isNew);
      return { key, name, score, fresh, lossy, candidate, rank, reasons, longest: { inPiece, inTraining }, done: 1, frontier: Infinity };
    });
    this.run.finished = true;
  }
}
