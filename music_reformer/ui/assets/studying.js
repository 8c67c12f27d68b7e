// Studying: while the visitor looks at a piece, the server trains on the music before the cut (or around the
// bars to recompose), so that the new music suits it. It starts a moment after the wanted bars have changed.

import { call } from "./api.js";

const $ = (id) => document.getElementById(id);
const MOMENT = 1200;  // milliseconds to wait, because a dragged handle passes many bars

export class Studying {
  #bars = "";  // [key, cut_bar, until_bar] being studied, as text
  #job = null;  // {abort, ended, done} of the study in progress
  #timer = null;

  constructor({ piece }) {
    this.piece = piece;
    $("study").addEventListener("change", () => this.follow());
  }

  get isWanted() { return $("study").checked; }
  /** Whether the wanted bars are being studied, or are about to be; not while the server composes for others first. */
  get isUnderWay() { return this.#timer !== null || (this.#job !== null && !this.#job.waits); }
  /** Progress from 0 to 1. */
  get done() { return this.#job?.done ?? 0; }

  /** Study what is open now, unless that is done already. */
  follow() {
    const bars = this.isWanted ? this.#wanted() : null;
    const text = JSON.stringify(bars);
    if (text === this.#bars) return;
    this.#stop();
    this.#bars = text;
    $("study-note").textContent = "";
    if (bars) this.#timer = setTimeout(() => this.#begin(bars), MOMENT);
  }

  /** Resolves when studying has ended, or has to wait. */
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
    // If it fails, the music is composed without it, and the cause shows up then.
    job.ended = call("study", bars, { signal: controller.signal, onReport }).catch(() => note("")).finally(() => {
      if (this.#job === job) this.#job = null;
    });
  }

  /** Call `onProgress(share)` after each step from now on. */
  listen(onProgress) { if (this.#job) this.#job.onProgress = onProgress; }
}
