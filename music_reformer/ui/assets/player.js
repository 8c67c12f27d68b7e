// Sound: the notes of a score through SpessaSynth (vendor/) and the soundfont that the server lends. Notes are sent a
// moment ahead, with the time at which they are to sound; so a score may grow while it is played, and tracks may fall
// silent at once. The browser lets nothing sound before the visitor has pressed something.

import { BEND, EMPTY, firstFrom } from "./score.js";

const SOUNDFONT = "soundfont";
// Loud enough without clipping full chords of a whole band.
const VOLUME = 0.9;
const AHEAD = 0.2;  // seconds that are sent ahead
const AHEAD_HIDDEN = 1.6;  // of a page in the background, whose timers run once a second
const PUMP = 40;  // milliseconds
const CUSHION = 0.8;  // seconds of new music that must be there before playing goes on where it had caught up
const PREVIEW = 0.35;  // seconds for which a single note is heard
const BANK = 0, DRUM_CHANNEL = 9;
export const MAX_CHANNELS = 64;

/** The channel of every track: drums on every tenth of sixteen, as in General MIDI. */
export function channelsOf(tracks) {
  let [melodic, drums] = [0, 0];
  return tracks.map(({ drum }) => {
    if (drum) return (drums++ % (MAX_CHANNELS / 16)) * 16 + DRUM_CHANNEL;
    const [sixteen, place] = [Math.floor(melodic / 15), melodic++ % 15];
    return ((sixteen * 16) % MAX_CHANNELS) + place + (place >= DRUM_CHANNEL ? 1 : 0);
  });
}

/** What has been set on each track before `seconds`: its moves, the last of each number, the bank first. */
function settingsAt(moves, seconds) {
  const last = new Map();
  for (const move of moves) {
    if (move.time >= seconds) break;
    const key = `${move.track}/${move.number}`;
    last.delete(key);  // so that the order is that of the last changes
    last.set(key, move);
  }
  return [...last.values()].sort((a, b) => (a.number === BANK ? 0 : 1) - (b.number === BANK ? 0 : 1));
}

export class Player extends EventTarget {
  playing = false;
  waiting = false;  // for notes that are still to be composed
  silent = new Set();
  #score = EMPTY;
  #frontier = Infinity;  // up to where the music is there, in seconds
  #position = 0;  // where it stands, or stood at #anchor
  #anchor = 0;  // the context's time at #position
  #former = null;  // {position, anchor} until the context's time is #anchor: a loop is sent before it has come round
  #loop = null;  // {from, to} in seconds
  #speed = 1;
  #sent = 0;  // up to where notes have been sent
  #active = [];  // notes that sound: {channel, note}
  #channels = [];
  #ready = null;
  #timer = null;
  #restart = null;
  #quiet = 0;  // the context's time from which nothing that was sent ahead is left
  #sounding = false;

  /** Why there can be no sound here, as a sentence for the visitor, or null. */
  static obstacle({ hasSound }) {
    if (!hasSound) return "No sound: the server has no soundfont. Install pretty_midi on it.";
    // Browsers give AudioWorklet to secure pages only: https, or this very machine.
    if (!window.isSecureContext) return "No sound over plain http: use https, or open the page on the server itself.";
    if (!window.AudioWorkletNode) return "No sound: this browser has no AudioWorklet. Use a newer one.";
    return null;
  }

  /** Fetch synthesizer and soundfont, once. */
  prepare() {
    this.#ready ??= this.#build().catch((error) => { this.#ready = null; throw error; });
    return this.#ready;
  }

  async #build() {
    const [{ WorkletSynthesizer }, response] = await Promise.all([import("./vendor/spessasynth.min.js"), fetch(SOUNDFONT)]);
    if (!response.ok) throw new Error("the soundfont could not be fetched");
    this.context = new AudioContext({ latencyHint: "balanced" });
    await this.context.audioWorklet.addModule(new URL("./vendor/spessasynth_processor.min.js", import.meta.url));
    this.synth = new WorkletSynthesizer(this.context);
    this.volume = new GainNode(this.context, { gain: 0 });
    this.analyser = new AnalyserNode(this.context, { fftSize: 2048 });
    this.samples = new Float32Array(this.analyser.fftSize);
    this.synth.connect(this.volume);
    this.volume.connect(this.analyser).connect(this.context.destination);
    await this.synth.soundBankManager.addSoundBank(await response.arrayBuffer(), "general-midi");
    await this.synth.isReady;
    while (this.synth.channelCount < MAX_CHANNELS) this.synth.addNewChannel();
  }

  /** Let a note of the score be heard for a moment, unless the music plays. */
  async preview({ track, pitch, velocity }) {
    if (this.playing) return;
    await this.prepare();
    await this.context.resume();
    const now = this.context.currentTime;
    if (this.playing || now < this.#quiet) return;  // what was sent ahead is still to pass unheard
    const channel = this.#channels[track];
    this.synth.stopAll(true);
    this.#setPrograms();
    this.volume.gain.cancelScheduledValues(now);
    this.volume.gain.setTargetAtTime(VOLUME, now, 0.004);
    this.volume.gain.setTargetAtTime(0, now + PREVIEW, 0.05);
    this.synth.noteOn(channel, pitch, velocity);
    this.synth.noteOff(channel, pitch, { time: now + PREVIEW });
  }

  /** Choose what to play, from where it is or, with `from`, from there. Playing goes on without a gap. `frontier`: up
   *  to where the music is there; the player waits at it. */
  choose(score, { from = null, frontier = Infinity } = {}) {
    const sameTracks = score.tracks.length === this.#score.tracks.length
      && score.tracks.every(({ program, drum }, place) => program === this.#score.tracks[place].program && drum === this.#score.tracks[place].drum);
    this.#score = score;
    this.#frontier = frontier;
    this.#channels = channelsOf(score.tracks);
    if (from !== null) this.seek(from);
    else if (this.#sounding && !sameTracks) this.#set(this.#sent);
  }

  /** The music has grown, up to `frontier` (Infinity: it is complete). */
  grow(frontier) {
    if (this.#channels.length < this.#score.tracks.length) {
      this.#channels = channelsOf(this.#score.tracks);
      if (this.#sounding) this.#setPrograms();
    }
    this.#frontier = frontier;
  }

  get score() { return this.#score; }
  get canPlay() { return this.#score.notes.length > 0; }

  async play() {
    if (!this.canPlay || this.playing) return;
    if (this.#position >= this.#score.seconds - 0.05 && this.#frontier === Infinity) this.#position = 0;
    this.playing = true;
    this.#changed();
    try {
      await this.prepare();
      await this.context.resume();
      this.#begin();
    } catch (error) {
      this.playing = false;
      this.#changed();
      throw error;
    }
  }

  /** Begin to sound, as soon as what was sent ahead before has passed unheard. */
  #begin() {
    clearTimeout(this.#restart);
    if (!this.playing || this.#sounding) return;  // the visitor has paused meanwhile, or pressed twice
    const now = this.context.currentTime;
    if (now < this.#quiet) {
      this.#restart = setTimeout(() => this.#begin(), (this.#quiet - now) * 1000 + 5);
      return;
    }
    this.synth.stopAll(true);
    this.#anchor = now + 0.03;
    this.#sent = this.#position;
    this.#set(this.#position);
    this.volume.gain.cancelScheduledValues(now);
    this.volume.gain.setTargetAtTime(VOLUME, now, 0.004);
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
    this.playing = false;
    this.#changed();
  }

  seek(seconds) {
    const sounding = this.#sounding;
    this.#hush();
    this.#position = Math.max(0, seconds);
    if (sounding) this.#begin();
  }

  /** Play from `from` to `to` seconds again and again; null: to the end of the piece. */
  loop(range) {
    this.#loop = range;
    if (!range) return;
    if (this.time < range.from || this.time > range.to) this.seek(range.from);
    else this.seek(this.time);  // what was sent ahead may go beyond
  }

  /** Play so many times as fast. */
  set speed(factor) {
    const stood = this.time;
    this.#speed = factor;
    this.seek(stood);
  }

  /** Seconds until all that was sent has sounded. */
  get #ahead() { return Math.max(AHEAD, (this.#sent - this.#position) / this.#speed - this.context.currentTime + this.#anchor) + 0.01; }

  /** The context's time at which a moment of the piece sounds. */
  #at(seconds) { return this.#anchor + (seconds - this.#position) / this.#speed; }

  #hush() {
    clearInterval(this.#timer);
    if (!this.#sounding) return;
    const ahead = this.#ahead;
    this.#quiet = this.context.currentTime + ahead;
    this.#sounding = this.waiting = false;
    this.#active = [];
    this.#former = null;
    const now = this.context.currentTime;
    this.volume.gain.cancelScheduledValues(now);
    this.volume.gain.setTargetAtTime(0, now, 0.008);
    this.synth.stopAll(true);
    setTimeout(() => { if (!this.#sounding) this.synth.stopAll(true); }, ahead * 1000);
  }

  /** Silence tracks (a set of places), at once. */
  silence(places) {
    this.silent = places;
    for (const { channel, note } of this.#active) {
      if (!places.has(note.track)) continue;
      this.synth.noteOff(channel, note.pitch);
      // Its beginning may have been sent ahead; an end before that would leave it sounding for ever.
      this.synth.noteOff(channel, note.pitch, { time: this.#at(this.#sent) });
    }
    this.#active = this.#active.filter(({ note }) => !places.has(note.track));
  }

  /** Seconds from the start of the piece. */
  get time() {
    if (!this.#sounding || this.waiting) return this.#position;
    const now = this.context.currentTime;
    const { position, anchor } = this.#former && now < this.#anchor ? this.#former : { position: this.#position, anchor: this.#anchor };
    return Math.max(position, position + (now - anchor) * this.#speed);
  }

  /** Instruments and controllers as they stand at `seconds`. */
  #set(seconds) {
    this.synth.reset();
    this.#setPrograms();
    for (const move of settingsAt(this.#score.moves, seconds)) this.#send(move);
    this.#setPrograms();
  }

  #setPrograms() {
    this.#score.tracks.forEach((track, place) => this.synth.programChange(this.#channels[place], track.program));
  }

  #send({ track, number, value }, options) {
    const channel = this.#channels[track];
    if (number === BEND) this.synth.pitchWheel(channel, value + 8192, options);
    else this.synth.controllerChange(channel, number, value, options);
  }

  #pump() {
    const now = this.context.currentTime;
    if (this.waiting) {
      if (this.#frontier < this.#position + CUSHION) return;
      this.waiting = false;
      this.#anchor = now;
    }
    if (this.#former && now >= this.#anchor) this.#former = null;
    const ahead = (document.hidden ? AHEAD_HIDDEN : AHEAD) * this.#speed;
    const end = Math.min(this.#frontier, this.#loop?.to ?? Infinity);
    const until = Math.min((this.#former ? this.#position : this.time) + ahead, end);
    if (until > this.#sent) this.#sendUntil(until);
    if (this.#loop && !this.#former && this.#sent >= this.#loop.to) {
      this.#comeRound();
      return;
    }
    if (this.time >= this.#frontier) {
      this.#position = this.#frontier;
      this.waiting = true;
      for (const { channel, note } of this.#active) this.synth.noteOff(channel, note.pitch);
      this.#active = [];
    } else if (this.#frontier === Infinity && this.time >= this.#score.seconds + 0.3) this.#end();
  }

  /** Go on from the beginning of the loop, at the moment at which its end sounds. */
  #comeRound() {
    const time = this.#at(this.#loop.to);
    for (const { channel, note } of this.#active) this.synth.noteOff(channel, note.pitch, { time });
    this.#active = [];
    this.#former = { position: this.#position, anchor: this.#anchor };
    this.#position = this.#sent = this.#loop.from;
    this.#anchor = time;
    for (const move of settingsAt(this.#score.moves, this.#loop.from)) this.#send(move, { time });
  }

  #sendUntil(until) {
    const at = (seconds) => ({ time: this.#at(seconds) });
    const { moves, notes } = this.#score;
    for (let index = firstFrom(moves, this.#sent, "time"); index < moves.length && moves[index].time < until; index++) {
      this.#send(moves[index], at(moves[index].time));
    }
    const still = [];
    for (const { channel, note } of this.#active) {
      if (note.end < until) this.synth.noteOff(channel, note.pitch, at(note.end)); else still.push({ channel, note });
    }
    for (let index = firstFrom(notes, this.#sent); index < notes.length && notes[index].start < until; index++) {
      const note = notes[index];
      if (this.silent.has(note.track)) continue;
      const channel = this.#channels[note.track];
      this.synth.noteOn(channel, note.pitch, note.velocity, at(note.start));
      if (note.end < until) this.synth.noteOff(channel, note.pitch, at(note.end)); else still.push({ channel, note });
    }
    this.#active = still;
    this.#sent = until;
  }

  /** How loud it sounds at this moment: root mean square of the samples, 0 to 1. */
  level() {
    if (!this.analyser) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    return Math.sqrt(this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length);
  }

  #end() {
    this.#hush();
    this.playing = false;
    this.#position = 0;
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event("change")); }
}
