// Playback: which position of the score sounds when. Notes are sent to the outputs slightly ahead, with the time of the audio
// clock at which they should sound, so that a score may grow while it plays, and tracks can be silenced at once.

import { countIn } from "./beats.js";
import { NEUTRAL, PAN, VOLUME, mixed, openingMoves, settingsAt, valueAt } from "./channels.js";
import { EMPTY, firstFrom } from "./score.js";

const AHEAD = 0.2;  // seconds that are sent ahead
const AHEAD_HIDDEN = 1.6;  // in the background, where timers run once a second
const PUMP = 40;  // milliseconds between two sendings
const LEAD = 0.03;  // seconds from the start to the first sound
const CUSHION = 0.8;  // seconds of new music needed before playing resumes after catching up

export class Player extends EventTarget {
  playing = false;
  waiting = false;  // for notes still to be composed
  silent = new Set();
  countsIn = false;  // whether to count in a bar before playing
  #score = EMPTY;
  #frontier = Infinity;  // end of the available music in seconds
  #position = 0;  // position when stopped, or at #anchor
  #anchor = 0;  // audio clock at #position
  #former = null;  // {position, anchor} in force until the audio clock reaches #anchor: a loop's restart is sent ahead
  #loop = null;  // {from, to} in seconds
  #speed = 1;
  #sent = 0;  // position up to which music has been sent; before #position during a count-in
  #active = [];  // sounding notes
  #mix = [];  // {volume, pan} of the tracks
  #timer = null;
  #restart = null;
  #sounding = false;
  #goesOn = false;  // plays on after the end of the piece, for a recording
  #outputs;

  /** `sound`: the synthesizer, whose clock the player uses; `outputs`: further outputs. */
  constructor({ sound, outputs = [] }) {
    super();
    this.sound = sound;
    this.#outputs = new Set([sound, ...outputs]);
  }

  /** Add an output, to which the music is sent as well. */
  connect(output) {
    this.#outputs.add(output);
    output.assign(this.#score.tracks);
    this.#again();
  }

  disconnect(output) {
    if (this.#sounding) output.hush(0);
    this.#outputs.delete(output);
  }

  #tell(what, ...rest) { for (const output of this.#outputs) output[what](...rest); }

  /** Load what sound needs, once. */
  prepare() { return this.sound.prepare(); }
  /** Play a note of the score briefly, unless the music plays. */
  async preview(note) {
    if (this.playing) return;
    for (const output of this.#outputs) await output.preview(note);
  }
  level() { return this.sound.level(); }

  /** Set the score to play, keeping the position or, with `from`, from there. Playing continues without a gap. `frontier`: end
   *  of the available music, where the player waits. */
  choose(score, { from = null, frontier = Infinity } = {}) {
    const sameTracks = score.tracks.length === this.#score.tracks.length
      && score.tracks.every(({ program, drum }, place) => program === this.#score.tracks[place].program && drum === this.#score.tracks[place].drum);
    this.#score = score;
    this.#frontier = frontier;
    this.#tell("assign", score.tracks);
    if (from !== null) this.seek(from);
    else if (this.#sounding && !sameTracks) this.#tell("reset", this.#settings(this.#sent));
  }

  /** Called when the music has grown up to `frontier` (Infinity: it is complete). */
  grow(frontier) {
    this.#tell("assign", this.#score.tracks);
    this.#frontier = frontier;
  }

  get score() { return this.#score; }
  get canPlay() { return this.#score.notes.length > 0; }

  async play() {
    if (!this.canPlay || this.playing) return;
    if (this.#position >= this.#score.seconds - 0.05 && this.#frontier === Infinity) this.#position = 0;
    await this.#start({ countsIn: this.countsIn });
  }

  /** Play for a recording: from `seconds` on, with a bar of count-in, beyond the end of the piece. */
  async record(seconds) {
    if (this.playing) this.pause();
    this.#position = seconds;
    this.#goesOn = true;
    await this.#start({ countsIn: true });
  }

  async #start({ countsIn }) {
    this.playing = true;
    this.#changed();
    try {
      await this.prepare();
      await this.sound.context.resume();
      this.#begin({ countsIn });
    } catch (error) {
      this.playing = this.#goesOn = false;
      this.#changed();
      throw error;
    }
  }

  /** Start sounding as soon as everything sent ahead before has passed silently. */
  #begin({ countsIn = false } = {}) {
    clearTimeout(this.#restart);
    if (!this.playing || this.#sounding) return;  // meanwhile paused, or started twice
    if (this.sound.delay > 0) {
      this.#restart = setTimeout(() => this.#begin({ countsIn }), this.sound.delay * 1000 + 5);
      return;
    }
    const lead = countsIn ? countIn(this.#score, this.#position).seconds : 0;
    this.#anchor = this.sound.context.currentTime + LEAD + lead / this.#speed;
    this.#sent = this.#position - lead;
    this.#tell("begin", { score: this.#score, position: this.#position, at: (seconds) => this.#at(seconds) });
    this.#tell("reset", this.#settings(this.#position));
    this.#sounding = true;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#pump(), PUMP);
    this.#pump();
  }

  pause() {
    if (!this.playing) return;
    const stood = this.time;
    this.#hush();
    this.#position = stood;
    this.playing = this.#goesOn = false;
    this.#changed();
  }

  seek(seconds) {
    const sounding = this.#sounding;
    this.#hush();
    this.#position = Math.max(0, seconds);
    if (sounding) this.#begin();
  }

  /** Resend what was sent ahead, after a change to it. */
  #again() { this.seek(this.time); }

  /** Loop from `from` to `to` seconds; null: no loop. */
  loop(range) {
    this.#loop = range;
    if (!range) return;
    if (this.time < range.from || this.time > range.to) this.seek(range.from);
    else this.#again();  // what was sent ahead may go beyond the loop
  }

  /** Set the speed as a factor. */
  set speed(factor) {
    const stood = this.time;
    this.#speed = factor;
    this.seek(stood);
  }

  /** Set the visitor's volume and pan of each track: [{volume, pan}]. */
  set mix(mix) {
    const former = this.#mix;
    this.#mix = mix;
    if (!this.#sounding) return;
    mix.forEach((here, track) => {
      for (const [name, number] of [["volume", VOLUME], ["pan", PAN]]) {
        if (here[name] === (former[track] ?? NEUTRAL)[name]) continue;
        this.#tell("move", mixed({ track, number, value: valueAt(this.#score.moves, track, number, this.#sent) }, here));
      }
    });
  }

  /** Seconds until everything sent has sounded. */
  get #ahead() { return Math.max(AHEAD, (this.#sent - this.#position) / this.#speed - this.sound.context.currentTime + this.#anchor) + 0.01; }

  /** Time of the audio clock at which a position of the piece sounds. */
  #at(seconds) { return this.#anchor + (seconds - this.#position) / this.#speed; }

  #hush() {
    clearInterval(this.#timer);
    if (!this.#sounding) return;
    this.#tell("hush", this.#ahead);
    this.#sounding = this.waiting = false;
    this.#active = [];
    this.#former = null;
  }

  /** Silence tracks (a set of places), at once. */
  silence(places) {
    this.silent = places;
    this.#tell("silence", places);
    for (const note of this.#active) {
      if (!places.has(note.track)) continue;
      this.#tell("noteOff", note);
      // Its beginning may have been sent ahead; an end before that would leave it sounding for ever.
      this.#tell("noteOff", note, this.#at(this.#sent));
    }
    this.#active = this.#active.filter((note) => !places.has(note.track));
  }

  /** Sound a pressed or released key, or the pedal, at once. */
  live(event) {
    this.#tell("live", event);
    this.dispatchEvent(new Event("live"));
  }

  /** The position of the piece that was heard at a time of the page's clock, in milliseconds; before the start during
   *  a count-in. */
  heardAt(milliseconds) {
    const { context } = this.sound;
    if (!this.#sounding) return this.#position - 1;
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    const time = contextTime > 0 ? contextTime + (milliseconds - performanceTime) / 1000
      : context.currentTime + (milliseconds - performance.now()) / 1000;
    return this.#position + (time - this.#anchor) * this.#speed;
  }

  /** The position in seconds from the start of the piece. */
  get time() {
    if (!this.#sounding || this.waiting) return this.#position;
    const now = this.sound.context.currentTime;
    const { position, anchor } = this.#former && now < this.#anchor ? this.#former : { position: this.#position, anchor: this.#anchor };
    return Math.max(position, position + (now - anchor) * this.#speed);
  }

  /** A score with the visitor's volumes and pans. */
  asMixed(score) {
    const moves = [...score.tracks.flatMap((_, track) => openingMoves(track, this.#mix[track])), ...score.moves.map((move) => mixed(move, this.#mix[move.track]))];
    return { ...score, moves };
  }

  /** Set the controllers to their state at `seconds`. */
  #settings(seconds) {
    const { moves, tracks } = this.#score;
    return [
      ...tracks.flatMap((_, track) => openingMoves(track, this.#mix[track])),
      ...settingsAt(moves, seconds).map((move) => mixed(move, this.#mix[move.track])),
    ];
  }

  #pump() {
    const now = this.sound.context.currentTime;
    if (this.waiting) {
      if (this.#frontier < this.#position + CUSHION) return;
      this.waiting = false;
      this.#anchor = now;
      this.#turn(now);
    }
    if (this.#former && now >= this.#anchor) this.#former = null;
    const ahead = (document.hidden ? AHEAD_HIDDEN : AHEAD) * this.#speed;
    const end = Math.min(this.#frontier, this.#loop?.to ?? Infinity);
    // During a count-in, this time is before the position.
    const heard = this.#former ? this.#position : this.#position + (now - this.#anchor) * this.#speed;
    const until = Math.min(heard + ahead, end);
    if (until > this.#sent) this.#sendUntil(until);
    if (this.#loop && !this.#former && this.#sent >= this.#loop.to) {
      this.#comeRound();
      return;
    }
    if (this.time >= this.#frontier) {
      this.#position = this.#frontier;
      this.waiting = true;
      this.#tell("wait");
      for (const note of this.#active) this.#tell("noteOff", note);
      this.#active = [];
    } else if (this.#frontier === Infinity && !this.#goesOn && this.time >= this.#score.seconds + 0.3) this.#end();
  }

  #turn(time) { this.#tell("turn", { score: this.#score, position: this.#position, time, at: (seconds) => this.#at(seconds) }); }

  /** Continue from the beginning of the loop, at the time when its end sounds. */
  #comeRound() {
    const time = this.#at(this.#loop.to);
    for (const note of this.#active) this.#tell("noteOff", note, time);
    this.#active = [];
    this.#former = { position: this.#position, anchor: this.#anchor };
    this.#position = this.#sent = this.#loop.from;
    this.#anchor = time;
    this.#turn(time);
    for (const move of this.#settings(this.#loop.from)) this.#tell("move", move, time);
  }

  #sendUntil(until) {
    const at = (seconds) => this.#at(seconds);
    const { moves, notes } = this.#score;
    this.#tell("span", { score: this.#score, from: this.#sent, until, at });
    const from = Math.max(this.#sent, this.#position);
    for (let index = firstFrom(moves, from, "time"); index < moves.length && moves[index].time < until; index++) {
      this.#tell("move", mixed(moves[index], this.#mix[moves[index].track]), at(moves[index].time));
    }
    const still = [];
    const endOrKeep = (note) => { if (note.end < until) this.#tell("noteOff", note, at(note.end)); else still.push(note); };
    this.#active.forEach(endOrKeep);
    for (let index = firstFrom(notes, from); index < notes.length && notes[index].start < until; index++) {
      if (this.silent.has(notes[index].track)) continue;
      this.#tell("noteOn", notes[index], at(notes[index].start));
      endOrKeep(notes[index]);
    }
    this.#active = still;
    this.#sent = until;
  }

  #end() {
    this.#hush();
    this.playing = false;
    this.#position = 0;
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event("change")); }
}
