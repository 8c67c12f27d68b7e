// The metronome: a click on every beat, higher on the first of a bar, timed by the same audio clock as the notes.

import { beatsBetween, countIn } from "./beats.js";
import { Output } from "./output.js";

const SECONDS = 0.05;
const PITCH = 1000, FIRST_PITCH = 1600;  // Hz
const LOUDNESS = 0.4;

export class Metronome extends Output {
  #isOn = false;
  #sounds = false;
  #position = 0;
  #scheduled = new Set();  // clicks that have been sent ahead

  /** `sound`: the synthesizer, whose audio context plays the clicks. */
  constructor({ sound }) {
    super();
    this.sound = sound;
  }

  get isOn() { return this.#isOn; }
  set isOn(is) {
    this.#isOn = is;
    if (!is && !this.#sounds) this.hush();
  }

  /** Whether it sounds even if switched off, as during a recording. */
  set sounds(does) { this.#sounds = does; }

  begin({ position }) { this.#position = position; }
  turn({ position }) { this.#position = position; }

  span({ score, from, until, at }) {
    if (from < this.#position) {
      const { beats } = countIn(score, this.#position);
      this.#click(beats.filter(({ time }) => time >= from - 1e-9 && time < until), at);
    }
    if ((this.#isOn || this.#sounds) && until > this.#position) this.#click(beatsBetween(score, Math.max(from, this.#position), until), at);
  }

  #click(beats, at) {
    const { context, clicks } = this.sound;
    for (const { time, isFirst } of beats) {
      const source = new AudioBufferSourceNode(context, { buffer: this.#buffer(isFirst ? FIRST_PITCH : PITCH) });
      source.connect(clicks);
      source.start(Math.max(at(time), context.currentTime));
      this.#scheduled.add(source);
      source.onended = () => this.#scheduled.delete(source);
    }
  }

  #buffers = new Map();
  #buffer(pitch) {
    if (!this.#buffers.has(pitch)) this.#buffers.set(pitch, click(this.sound.context, pitch));
    return this.#buffers.get(pitch);
  }

  hush() {
    for (const source of this.#scheduled) source.stop();
    this.#scheduled.clear();
  }
}

/** A short tone that dies away. */
function click(context, pitch) {
  const { sampleRate } = context;
  const buffer = new AudioBuffer({ length: Math.ceil(SECONDS * sampleRate), sampleRate });
  const samples = buffer.getChannelData(0);
  for (let place = 0; place < samples.length; place++) {
    const seconds = place / sampleRate;
    samples[place] = LOUDNESS * Math.exp(-seconds * 90) * Math.sin(2 * Math.PI * pitch * seconds);
  }
  return buffer;
}
