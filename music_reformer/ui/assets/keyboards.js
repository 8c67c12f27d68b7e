// The keyboard that notes are played on: a MIDI keyboard, or the computer's own. Played notes sound at once and are passed on.

import { PianoKeys } from "./piano-keys.js";

const NOTE_OFF = 0x80, NOTE_ON = 0x90, CONTROLLER = 0xb0, PEDAL = 64;
export const COMPUTER = "computer";

export class Keyboards {
  onPlayed = () => {};  // receives {pitch, velocity, isOn, time} and {pedal (whether it is down), time}, in the page's milliseconds
  track = 0;  // place of the track whose instrument sounds
  #port = null;
  #piano = new PianoKeys({ onNote: (note) => this.#play(note) });

  /** `player` makes played notes sound. */
  constructor({ player }) { this.player = player; }

  /** Use a MIDI port, `COMPUTER`, or null for none. */
  get chosen() { return this.#port ?? (this.#piano.isOn ? COMPUTER : null); }
  set chosen(keyboard) {
    if (this.#port) this.#port.onmidimessage = null;
    this.#piano.isOn = keyboard === COMPUTER;
    this.#port = this.#piano.isOn ? null : keyboard;
    if (this.#port) this.#port.onmidimessage = (message) => this.#read(message);
    if (keyboard) this.player.prepare().catch(console.error);
  }

  #read({ data, timeStamp }) {
    const [kind, number, value] = [data[0] & 0xf0, data[1], data[2]];
    const time = timeStamp || performance.now();
    if (kind === NOTE_ON && value > 0) this.#play({ pitch: number, velocity: value, isOn: true, time });
    else if (kind === NOTE_ON || kind === NOTE_OFF) this.#play({ pitch: number, velocity: 64, isOn: false, time });
    else if (kind === CONTROLLER && number === PEDAL) {
      this.player.live({ track: this.track, number, value });
      this.onPlayed({ pedal: value >= 64, time });
    }
  }

  #play(note) {
    this.player.live({ ...note, track: this.track });
    this.onPlayed(note);
  }
}
