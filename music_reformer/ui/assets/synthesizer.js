// The sound of the page: SpessaSynth (vendor/) with the soundfont served by the server. Notes sent to it ahead cannot
// be taken back, so the output is muted until they have passed when the music stops. The browser allows no sound before the visitor has
// pressed something.

import { MAX_CHANNELS, channelsOf } from "./channels.js";
import { Output } from "./output.js";
import { BEND } from "./score.js";

const SOUNDFONT = "soundfont";
// Loud enough, without clipping full chords of a whole band.
const VOLUME = 0.9;
const PREVIEW = 0.35;  // length of a previewed note in seconds

export class Synthesizer extends Output {
  #ready = null;
  #tracks = [];
  #channels = [];
  #sounding = false;
  #quiet = 0;  // audio clock when everything sent ahead has passed
  #audible = true;

  /** Why sound is not available here, as a sentence for the visitor, or null. */
  static obstacle({ hasSound }) {
    if (!hasSound) return "No sound: the server has no soundfont. Install pretty_midi on it.";
    // Browsers offer AudioWorklet only to secure pages: https, or localhost.
    if (!window.isSecureContext) return "No sound over plain http: use https, or open the page on the server itself.";
    if (!window.AudioWorkletNode) return "No sound: this browser has no AudioWorklet. Use a newer one.";
    return null;
  }

  /** Load synthesizer and soundfont, once. */
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
    this.clicks = new GainNode(this.context);  // other sounds, such as the metronome
    this.analyser = new AnalyserNode(this.context, { fftSize: 2048 });
    this.samples = new Float32Array(this.analyser.fftSize);
    this.synth.connect(this.volume);
    for (const node of [this.volume, this.clicks]) node.connect(this.analyser);
    this.analyser.connect(this.context.destination);
    await this.synth.soundBankManager.addSoundBank(await response.arrayBuffer(), "general-midi");
    await this.synth.isReady;
    while (this.synth.channelCount < MAX_CHANNELS) this.synth.addNewChannel();
  }

  /** Seconds until something can sound, because notes sent ahead have to pass silently first. */
  get delay() { return Math.max(0, this.#quiet - this.context.currentTime); }

  /** Set whether the music sounds here; the metronome always does. */
  set audible(is) {
    this.#audible = is;
    if (this.#sounding) this.#fade(is ? VOLUME : 0);
  }

  #fade(gain, { time = this.context.currentTime, within = 0.004 } = {}) {
    this.volume.gain.cancelScheduledValues(time);
    this.volume.gain.setTargetAtTime(gain, time, within);
  }

  assign(tracks) {
    this.#tracks = tracks;
    this.#channels = channelsOf(tracks);
    if (this.#sounding) this.#setPrograms();
  }

  reset(moves) {
    this.synth.reset();
    this.#setPrograms();
    for (const move of moves) this.move(move);
    this.#setPrograms();  // a bank takes effect with the program change after it
  }

  #setPrograms() {
    this.#tracks.forEach((track, place) => this.synth.programChange(this.#channels[place], track.program));
  }

  begin() {
    this.synth.stopAll(true);
    this.#fade(this.#audible ? VOLUME : 0);
    this.#sounding = true;
  }

  noteOn({ track, pitch, velocity }, time) { this.synth.noteOn(this.#channels[track], pitch, velocity, timed(time)); }
  noteOff({ track, pitch }, time) { this.synth.noteOff(this.#channels[track], pitch, timed(time)); }

  move({ track, number, value }, time) {
    const channel = this.#channels[track];
    if (number === BEND) this.synth.pitchWheel(channel, value + 8192, timed(time));
    else this.synth.controllerChange(channel, number, value, timed(time));
  }

  hush(ahead) {
    this.#sounding = false;
    this.#quiet = this.context.currentTime + ahead;
    this.#fade(0, { within: 0.008 });
    this.synth.stopAll(true);
    setTimeout(() => { if (!this.#sounding) this.synth.stopAll(true); }, ahead * 1000);
  }

  /** Notes played by hand sound at once, with or without the music. */
  async live(event) {
    if (!this.#audible) return;
    await this.prepare();
    if (this.context.state !== "running") await this.context.resume();
    const channel = this.#channels[event.track] ?? 0;
    if (!this.#sounding) {
      if (this.delay > 0) return;
      if ("isOn" in event && event.isOn) this.#setPrograms();
      this.#fade(VOLUME);
    }
    if ("number" in event) this.synth.controllerChange(channel, event.number, event.value);
    else if (event.isOn) this.synth.noteOn(channel, event.pitch, event.velocity);
    else this.synth.noteOff(channel, event.pitch);
  }

  /** Play a note briefly, unless the music plays. */
  async preview({ track, pitch, velocity }) {
    if (!this.#audible) return;
    await this.prepare();
    await this.context.resume();
    if (this.#sounding || this.delay > 0) return;
    const now = this.context.currentTime;
    this.synth.stopAll(true);
    this.#setPrograms();
    this.#fade(VOLUME);
    this.volume.gain.setTargetAtTime(0, now + PREVIEW, 0.05);
    this.noteOn({ track, pitch, velocity });
    this.noteOff({ track, pitch }, now + PREVIEW);
  }

  /** Current loudness: root mean square of the samples, 0 to 1. */
  level() {
    if (!this.analyser) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    return Math.sqrt(this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length);
  }
}

const timed = (time) => (time === undefined ? undefined : { time });
