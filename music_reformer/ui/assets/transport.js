// Playing, and where the playhead is: the buttons and the clock under the roll.

import { clock } from "./draw.js";
import { barSpoken } from "./spoken.js";
import { Switch } from "./switch.js";

const $ = (id) => document.getElementById(id);

export class Transport {
  #ticking = false;
  #spoken = {};  // {score, bar, notes, text}: the last announcement
  #measuredUntil = 0;  // the page's time until which loudness is shown even if nothing sounds yet

  /** `obstacle`: why there can be no sound, or null. `newMusic()` gives {from, to} of the new music on show, or null,
   *  and `marked()` those of the marked bars. */
  constructor({ player, views, metronome, obstacle, newMusic, marked }) {
    Object.assign(this, { player, views, obstacle, newMusic, marked });
    this.metronome = new Switch({ button: $("metronome"), name: "Metronome", onChange: (isOn) => { metronome.isOn = isOn; } });
    this.countIn = new Switch({ button: $("count-in"), name: "Count-in", onChange: (isOn) => { player.countsIn = isOn; } });
    $("loop").addEventListener("click", () => this.loop());
    $("speed").addEventListener("change", () => { player.speed = Number($("speed").value); });
    $("play").addEventListener("click", () => this.toggle());
    $("rewind").addEventListener("click", () => this.seek(0));
    $("zoom-in").addEventListener("click", () => this.views.current.zoomBy(1.6));
    $("zoom-out").addEventListener("click", () => this.views.current.zoomBy(1 / 1.6));
    $("zoom-fit").addEventListener("click", () => this.views.current.fit());
    player.addEventListener("change", () => {
      document.body.toggleAttribute("data-playing", player.playing);
      $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
      if (player.playing) views.follow();
      this.show();
      this.#beginTicking();
    });
    player.addEventListener("live", () => {
      this.#measuredUntil = performance.now() + 500;
      this.#beginTicking();
    });
  }

  /** Load sound before the visitor presses play. */
  prepare() {
    if (this.obstacle) return;
    $("play").ariaBusy = "true";
    this.player.prepare().catch((error) => this.#noSound(error)).finally(() => { $("play").ariaBusy = "false"; });
  }

  async toggle() {
    if ($("play").disabled) return;
    if (this.player.playing) { this.player.pause(); return; }
    try { await this.player.play(); } catch (error) { this.#noSound(error); }
  }

  /** Go to a position of the piece, and scroll it into view. */
  seek(seconds) {
    this.player.seek(seconds);
    this.show();
    this.views.follow();
  }

  /** Start or end a loop over the marked bars, or the new music and two bars before it, or the whole piece. */
  loop() {
    const { player, views: { roll } } = this;
    const wanted = $("loop").getAttribute("aria-pressed") !== "true";
    $("loop").setAttribute("aria-pressed", wanted);
    const range = this.newMusic();
    const before = range ? roll.barLines().filter((line) => line < range.from - 0.05).at(-2) ?? 0 : 0;
    player.loop(wanted ? this.marked() ?? { from: before, to: range?.to ?? player.score.seconds } : null);
    this.show();
  }

  /** Called when another piece or variation is shown: ends a loop, which belongs to the former. */
  endLoop() { if ($("loop").getAttribute("aria-pressed") === "true") this.loop(); }

  /** Move the playhead a bar forward or back. */
  step(bars) {
    const { player, views: { roll } } = this;
    const lines = roll.barLines();
    const at = lines.findLastIndex((line) => line <= player.time + 0.02);
    const target = bars > 0 ? at + 1 : player.time - lines[at] > 0.5 ? at : Math.max(at - 1, 0);
    this.seek(Math.min(lines[target] ?? player.time, roll.seconds));
  }

  /** Update clock, playhead and buttons from the player. */
  show({ follow = false } = {}) {
    const { player, views: { roll, engraved } } = this;
    const total = player.score.seconds;
    const time = Math.min(player.time, total);
    $("now").textContent = clock(time);
    $("total").textContent = clock(total);
    $("play").disabled = Boolean(this.obstacle) || !player.canPlay;
    roll.moveTo(time, { follow });
    engraved.moveTo(time, { follow });
    const bar = Math.max(roll.barLines().filter((start) => start <= time + 0.01).length, 1);
    $("roll").setAttribute("aria-valuemax", total.toFixed(1));
    $("roll").setAttribute("aria-valuenow", time.toFixed(1));
    $("roll").setAttribute("aria-valuetext", `bar ${bar}, ${clock(time)} of ${clock(total)}: ${this.#barSpoken(bar - 1)}`);
  }

  #barSpoken(bar) {
    const { score } = this.player;
    const { length: notes } = score.notes;
    const { score: former, bar: formerBar, notes: formerNotes } = this.#spoken;
    if (score !== former || bar !== formerBar || notes !== formerNotes) this.#spoken = { score, bar, notes, text: barSpoken(score, bar) };
    return this.#spoken.text;
  }

  say(text) { if ($("sound-note").textContent !== text) $("sound-note").textContent = text; }

  #noSound(error) {
    console.error(error);
    this.obstacle = "Sound could not be started. Downloaded files still play in other programs.";
    this.say(this.obstacle);
    this.show();
  }

  #beginTicking() {
    if (this.#ticking) return;
    this.#ticking = true;
    requestAnimationFrame(() => this.#tick());
  }

  #tick() {
    const { player } = this;
    const level = player.level();
    const meter = $("meter");
    meter.setAttribute("aria-valuenow", level.toFixed(4));
    // Decibels from -48 to 0 over the width of the meter.
    meter.firstElementChild.style.width = `${Math.max(0, Math.min(100, 100 + (20 * Math.log10(level + 1e-9) * 100) / 48))}%`;
    if (player.playing) this.show({ follow: true });
    if (!this.obstacle) this.say(player.waiting ? "Waiting for the next notes…" : "");
    this.#ticking = player.playing || level > 1e-5 || performance.now() < this.#measuredUntil;
    if (this.#ticking) requestAnimationFrame(() => this.#tick());
  }
}
