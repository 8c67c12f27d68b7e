// Sound: a MIDI file through SpessaSynth (vendor/) and the soundfont that the server lends. Nothing is fetched before
// a piece is open; the browser lets nothing sound before the visitor has pressed something.

const SOUNDFONT = "soundfont";
// Loud enough without clipping full chords of a whole band.
const VOLUME = 0.9;

export class Player extends EventTarget {
  playing = false;
  #address = null;
  #loaded = null;
  #start = 0;
  #ready = null;
  #sounding = false;
  // Whether the sequencer, in its own thread, has taken over our starting time; before, its clock means nothing.
  #settled = false;

  /** Why there can be no sound here, as a sentence for the visitor, or null. */
  static obstacle({ hasSound }) {
    if (!hasSound) return "No sound: the server has no soundfont (pip install pretty_midi).";
    // Browsers give AudioWorklet to secure pages only: https, or this very machine.
    if (!window.isSecureContext) return "No sound over plain http: use https, or open the page on the server itself.";
    if (!window.AudioWorkletNode) return "No sound: this browser has no AudioWorklet.";
    return null;
  }

  /** Fetch synthesizer and soundfont, once. */
  prepare() {
    this.#ready ??= this.#build().catch((error) => { this.#ready = null; throw error; });
    return this.#ready;
  }

  async #build() {
    const [{ WorkletSynthesizer, Sequencer }, response] = await Promise.all([
      import("./vendor/spessasynth.min.js"), fetch(SOUNDFONT),
    ]);
    if (!response.ok) throw new Error("the soundfont could not be fetched");
    this.context = new AudioContext({ latencyHint: "balanced" });
    await this.context.audioWorklet.addModule(new URL("./vendor/spessasynth_processor.min.js", import.meta.url));
    this.synth = new WorkletSynthesizer(this.context);
    this.volume = new GainNode(this.context, { gain: VOLUME });
    this.analyser = new AnalyserNode(this.context, { fftSize: 2048 });
    this.samples = new Float32Array(this.analyser.fftSize);
    this.synth.connect(this.volume);
    this.volume.connect(this.analyser).connect(this.context.destination);
    await this.synth.soundBankManager.addSoundBank(await response.arrayBuffer(), "general-midi");
    await this.synth.isReady;
    // Time zero is the start of the file, also where it opens with silence: the roll counts so.
    this.sequencer = new Sequencer(this.synth, { skipToFirstNoteOn: false });
    this.sequencer.loopCount = 0;
    this.sequencer.eventHandler.addEvent("songEnded", "player", () => this.#ended());
    this.sequencer.eventHandler.addEvent("timeChange", "player", (time) => {
      if (Math.abs(time - this.#start) < 0.1) this.#settled = true;
    });
  }

  /** Choose the file to play next (null: none) and where from. Stops what is playing. */
  choose(address, { from = 0 } = {}) {
    this.pause();
    this.#address = address;
    this.#start = from;
  }

  get address() { return this.#address; }

  async play() {
    if (!this.#address || this.playing) return;
    this.playing = true;
    this.#changed();
    try {
      await this.prepare();
      await this.context.resume();
      const address = this.#address;
      if (this.#loaded !== address) {
        await this.#load(await (await fetch(address)).arrayBuffer());
        this.#loaded = address;
      }
      // The visitor may have paused, or chosen another file, while this one was fetched.
      if (!this.playing || address !== this.#address) return;
      this.#settled = false;
      this.sequencer.currentTime = this.#start;
      this.sequencer.play();
      this.#sounding = true;
    } catch (error) {
      this.playing = false;
      this.#changed();
      throw error;
    }
  }

  #load(bytes) {
    return new Promise((resolve, reject) => {
      this.sequencer.eventHandler.addEvent("songChange", "player", resolve);
      this.sequencer.eventHandler.addEvent("midiError", "player", reject);
      this.sequencer.loadNewSongList([{ binary: bytes, fileName: "piece.mid" }]);
    });
  }

  pause() {
    if (!this.playing) return;
    this.#start = this.time;
    this.playing = this.#sounding = false;
    this.sequencer?.pause();
    this.#changed();
  }

  seek(seconds) {
    this.#start = seconds;
    this.#settled = false;
    if (this.#sounding) this.sequencer.currentTime = seconds;
  }

  /** Seconds from the start of the file. */
  get time() { return this.#sounding && this.#settled ? this.sequencer.currentHighResolutionTime : this.#start; }

  /** How loud it sounds at this moment: root mean square of the samples, 0 to 1. */
  level() {
    if (!this.analyser) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    return Math.sqrt(this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length);
  }

  #ended() {
    if (!this.#sounding) return;
    this.playing = this.#sounding = false;
    this.#start = 0;
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event("change")); }
}
