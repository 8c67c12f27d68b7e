// Studying: while the visitor looks at a piece, the server's weights learn from what comes before the cut (or around the
// bars to recompose), so that the new music suits it. It begins a moment after the bars that are wanted have changed.

import { call } from "./api.js";

const $ = (id) => document.getElementById(id);
const MOMENT = 1200;  // milliseconds: a handle that is being dragged passes many bars

export class Studying {
  #bars = "";  // [key, cut_bar, until_bar] that are studied, as text
  #job = null;  // {abort, ended, done} of what is under way
  #timer = null;

  constructor({ piece }) {
    this.piece = piece;
    $("study").addEventListener("change", () => this.follow());
  }

  get isWanted() { return $("study").checked; }
  /** Whether the bars that are wanted are being studied, or are about to be: not while others are composed for first. */
  get isUnderWay() { return this.#timer !== null || (this.#job !== null && !this.#job.waits); }
  /** How much of it is done, from 0 to 1. */
  get done() { return this.#job?.done ?? 0; }

  /** Study what is open now, unless that has been done. */
  follow() {
    const bars = this.isWanted ? this.#wanted() : null;
    const text = JSON.stringify(bars);
    if (text === this.#bars) return;
    this.#stop();
    this.#bars = text;
    $("study-note").textContent = "";
    if (bars) this.#timer = setTimeout(() => this.#begin(bars), MOMENT);
  }

  /** Resolves when nothing is being studied any more, or studying has to wait. */
  async ended() {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#begin(JSON.parse(this.#bars));
    }
    await Promise.race([this.#job?.ended, this.#job?.heldUp]);
  }

  #wanted() {
    const { piece } = this;
    if (!piece.version?.key || piece.mustKeepFirst || !piece.version.score.notes.length) return null;
    const { cut, until } = piece.wanted;
    return [piece.version.key, cut >= piece.numBarsOfVersion ? -1 : cut, until ?? -1];
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#job?.abort();
    this.#job = null;
  }

  #begin(bars) {
    this.#timer = null;
    const controller = new AbortController();
    const job = { abort: () => controller.abort(), done: 0, waits: false };
    job.heldUp = new Promise((resolve) => { job.holdUp = resolve; });
    this.#job = job;
    const note = (text) => { if (this.#job === job) $("study-note").textContent = text; };
    const onReport = ({ event, done, likelier, waits = false }) => {
      job.done = done ?? 1;
      job.waits = waits;
      if (waits) job.holdUp();
      if (event === "study") note(`Studying your piece: ${Math.round(100 * job.done)} %`);
      else note(likelier > 0 ? "Your piece has been studied." : "Your piece has been studied, but it taught the model nothing.");
      job.onProgress?.(job.done);
    };
    // Where it fails the music is composed without it, and whatever is wrong shows then.
    job.ended = call("study", bars, { signal: controller.signal, onReport }).catch(() => note("")).finally(() => {
      if (this.#job === job) this.#job = null;
    });
  }

  /** Tell `onProgress(share)` of each step from now on. */
  listen(onProgress) { if (this.#job) this.#job.onProgress = onProgress; }
}
