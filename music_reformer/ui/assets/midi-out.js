// Sends the music to a MIDI port: notes, programs and controllers by track, and a clock for other programs. Messages are sent
// to the port slightly ahead, with timestamps converted from the audio clock; those still waiting here
// can be taken back.

import { clocksBetween, quartersAt, secondsOfQuarters } from "./beats.js";
import { PAN, USUAL, VOLUME, channelsOf } from "./channels.js";
import { Output } from "./output.js";
import { BEND } from "./score.js";

const AHEAD = 100;  // milliseconds by which a message is sent ahead of its time
const AHEAD_HIDDEN = 1600;  // in the background, where timers run once a second
const STEP = 20;  // milliseconds between checks for waiting messages
const PREVIEW = 350;  // length of a previewed note in milliseconds
const NOTE_OFF = 0x80, NOTE_ON = 0x90, CONTROLLER = 0xb0, PROGRAM = 0xc0, PITCH_BEND = 0xe0;
const POSITION = 0xf2, CLOCK = 0xf8, START = 0xfa, CONTINUE = 0xfb, STOP = 0xfc;
const PEDAL = 64, RESET_CONTROLLERS = 121, ALL_NOTES_OFF = 123;
const CLOCKS_PER_SIXTEENTH = 6;

export class MidiOut extends Output {
  sendsClock = false;
  #port = null;
  #tracks = [];
  #channels = [];
  #waiting = [];  // messages not yet sent, {when, data, track}, by time
  #timer = null;
  #last = 0;  // the latest timestamp sent
  #sounding = new Map();  // sounding [channel, pitch], by its text
  #offset = null;  // milliseconds from the audio clock to the page's clock
  #firstClock = null;  // number of the first clock tick sent; null: the clock is stopped

  /** `sound`: the synthesizer, whose audio clock the times refer to. */
  constructor({ sound }) {
    super();
    this.sound = sound;
  }

  get port() { return this.#port; }
  set port(port) {
    this.hush();
    this.#port = port;
  }

  // ---- Called by the player

  assign(tracks) {
    const isSame = tracks.length === this.#tracks.length && tracks.every(({ program, drum }, place) => (
      program === this.#tracks[place].program && drum === this.#tracks[place].drum));
    this.#tracks = tracks;
    this.#channels = channelsOf(tracks, 16);
    if (!isSame && this.#port) this.#setPrograms();
  }

  reset(moves) {
    for (const channel of new Set(this.#channels)) {
      this.#control(channel, RESET_CONTROLLERS, 0);
      for (const number of [VOLUME, PAN]) this.#control(channel, number, USUAL[number]);
    }
    for (const move of moves) this.move(move);
    this.#setPrograms();
  }

  #setPrograms() {
    this.#tracks.forEach(({ program }, place) => this.#send([PROGRAM | this.#channels[place], program]));
  }

  begin({ score, position, at }) {
    this.#offset = null;
    this.#startClock({ score, position, at });
  }

  turn({ score, position, time, at }) {
    this.#stopClock(time);
    this.#startClock({ score, position, at });
  }

  span({ score, from, until, at }) {
    if (this.#firstClock === null) return;
    for (const { number, time } of clocksBetween(score, from, until)) {
      if (number >= this.#firstClock) this.#send([CLOCK], { time: at(time) });
    }
  }

  noteOn({ track, pitch, velocity }, time) { this.#send([NOTE_ON | this.#channels[track], pitch, velocity], { time, track }); }
  noteOff({ track, pitch }, time) { this.#send([NOTE_OFF | this.#channels[track], pitch, 64], { time }); }

  move({ track, number, value }, time) {
    const channel = this.#channels[track];
    if (number !== BEND) this.#control(channel, number, value, time);
    else this.#send([PITCH_BEND | channel, (value + 8192) & 0x7f, (value + 8192) >> 7], { time });
  }

  wait() { this.#stopClock(); }

  silence(places) {
    this.#waiting = this.#waiting.filter(({ data, track }) => !places.has(track) || (data[0] & 0xf0) !== NOTE_ON);
    const heard = new Set(this.#channels.filter((_, place) => !places.has(place)));
    for (const channel of new Set(this.#channels)) if (!heard.has(channel)) this.#quieten(channel);
  }

  live(event) {
    if ("number" in event) this.move(event);
    else this.#send([(event.isOn ? NOTE_ON : NOTE_OFF) | (this.#channels[event.track] ?? 0), event.pitch, event.velocity]);
  }

  preview(note) {
    if (!this.#port) return;
    this.noteOn(note);
    this.#put({ when: performance.now() + PREVIEW, data: [NOTE_OFF | this.#channels[note.track], note.pitch, 64] });
  }

  hush() {
    this.#waiting = [];
    this.#stopClock();
    for (const channel of new Set(this.#channels)) this.#quieten(channel);
  }

  // ---- The clock

  /** Send song position, and start or continue, at the first sixteenth at or after the position. */
  #startClock({ score, position, at }) {
    if (!this.sendsClock || !this.#port) return;
    const sixteenth = Math.ceil(quartersAt(score, position) * 4 - 1e-4);
    const time = at(secondsOfQuarters(score, sixteenth / 4)) - 0.001;  // before the first clock tick
    if (sixteenth > 0) this.#send([POSITION, sixteenth & 0x7f, (sixteenth >> 7) & 0x7f], { time: time - 0.001 });
    this.#send([sixteenth > 0 ? CONTINUE : START], { time });
    this.#firstClock = sixteenth * CLOCKS_PER_SIXTEENTH;
  }

  #stopClock(time) {
    if (this.#firstClock === null) return;
    this.#send([STOP], { time: time === undefined ? undefined : time - 0.003 });
    this.#firstClock = null;
  }

  // ---- To the port

  #control(channel, number, value, time) { this.#send([CONTROLLER | channel, number, value], { time }); }

  /** End all notes of a channel, including those already sent that have not begun. */
  #quieten(channel) {
    if (!this.#port) return;
    for (const when of [undefined, Math.max(this.#last, performance.now()) + 1]) {
      for (const [sounding, pitch] of this.#sounding.values()) {
        if (sounding === channel) this.#port.send([NOTE_OFF | channel, pitch, 64], when);
      }
      this.#port.send([CONTROLLER | channel, PEDAL, 0], when);
      this.#port.send([CONTROLLER | channel, ALL_NOTES_OFF, 0], when);
    }
    for (const [text, [sounding]] of this.#sounding) if (sounding === channel) this.#sounding.delete(text);
  }

  /** Send a message at a time of the audio clock; without a time, now. */
  #send(data, { time, track } = {}) {
    if (!this.#port) return;
    if (time === undefined) this.#post({ data });
    else this.#put({ when: this.#pageTime(time), data, track });
  }

  #put(message) {
    let place = this.#waiting.length;
    while (place > 0 && this.#waiting[place - 1].when > message.when) place--;
    this.#waiting.splice(place, 0, message);
    this.#flush();
    this.#timer ??= setInterval(() => this.#flush(), STEP);
  }

  #flush() {
    const until = performance.now() + (document.hidden ? AHEAD_HIDDEN : AHEAD);
    while (this.#waiting.length && this.#waiting[0].when <= until) this.#post(this.#waiting.shift());
    if (this.#waiting.length) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #post({ when, data }) {
    const [kind, channel] = [data[0] & 0xf0, data[0] & 0x0f];
    if (kind === NOTE_ON) this.#sounding.set(`${channel} ${data[1]}`, [channel, data[1]]);
    if (kind === NOTE_OFF) this.#sounding.delete(`${channel} ${data[1]}`);
    this.#last = Math.max(this.#last, when ?? 0);
    this.#port.send(data, when);
  }

  /** Convert a time of the audio clock to the page's clock, in milliseconds: the moment when it is heard. */
  #pageTime(time) {
    const { context } = this.sound;
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    const offset = contextTime > 0 ? performanceTime - contextTime * 1000 : performance.now() - context.currentTime * 1000;
    // Updated per block of samples, the offset jitters by some milliseconds, which a MIDI clock must not.
    this.#offset = this.#offset === null || Math.abs(offset - this.#offset) > 100 ? offset : this.#offset + (offset - this.#offset) * 0.02;
    return this.#offset + time * 1000;
  }
}
