// The menu of MIDI devices: the port that the music is sent to, and the keyboard to play on.

import { COMPUTER } from "./keyboards.js";
import { announce } from "./messages.js";
import { midiObstacle } from "./midi-ports.js";
import { recalled, remember } from "./switch.js";

const $ = (id) => document.getElementById(id);
const REFUSED = "The browser did not allow MIDI devices. Allow them in its settings for this page, and try again.";

export class MidiMenu {
  /** `ports`: the devices; `out`: the output that the player sends to once a port is chosen; `sound`: the synthesizer;
   *  `keyboards`: receives the keyboard to play on. */
  constructor({ ports, player, out, sound, keyboards }) {
    Object.assign(this, { ports, player, out, sound, keyboards });
    const obstacle = midiObstacle();
    $("midi-open").hidden = obstacle !== null;
    this.#say(obstacle ?? "");
    $("midi-open").addEventListener("click", () => this.#open());
    ports.addEventListener("change", () => this.#offer());
    $("midi-output").addEventListener("change", () => this.#choose($("midi-output").value));
    $("midi-input").addEventListener("change", () => this.#playOn($("midi-input").value));
    this.#box("midi-also-here", () => this.#route());
    this.#box("midi-clock", (isOn) => { out.sendsClock = isOn; });
  }

  /** A checkbox whose state this browser remembers. */
  #box(id, onChange) {
    const box = $(id);
    box.checked = recalled(id) === "on";
    box.addEventListener("change", () => {
      remember(id, box.checked ? "on" : "off");
      onChange(box.checked);
    });
    onChange(box.checked);
  }

  #say(text) { $("midi-said").textContent = text; }

  async #open() {
    try {
      await this.ports.open();
    } catch {
      this.#say(REFUSED);
      return;
    }
    this.#say("");
    $("midi-open").hidden = true;
    $("midi-ports").hidden = false;
    this.#offer();
    const last = this.ports.outputs.find(({ name }) => name === recalled("midi-output"));
    if (last) this.#choose(last.id);
    const keyboard = this.ports.inputs.find(({ name }) => name === recalled("midi-input"));
    if (keyboard) this.#playOn(keyboard.id);
    $("midi-output").focus();
  }

  /** Update the lists of devices. */
  #offer() {
    this.#offerKeyboards();
    const { outputs } = this.ports;
    const { port } = this.out;
    $("midi-output").replaceChildren(new Option("This page only", ""), ...outputs.map(({ id, name }) => new Option(name || "A MIDI port", id)));
    if (!outputs.length) this.#say("There is no MIDI port; plug one in, and it appears here at once.");
    if (port && !outputs.some(({ id }) => id === port.id)) {
      this.#choose("");
      announce(`${port.name} was unplugged; the music plays on this page`);
    }
    $("midi-output").value = this.out.port?.id ?? "";
  }

  #offerKeyboards() {
    const { inputs } = this.ports;
    const { chosen } = this.keyboards;
    const own = [...$("midi-input").options].slice(0, 2);
    $("midi-input").replaceChildren(...own, ...inputs.map(({ id, name }) => new Option(name || "A MIDI keyboard", id)));
    const isGone = chosen && chosen !== COMPUTER && !inputs.some(({ id }) => id === chosen.id);
    if (isGone) this.#playOn("");
    else $("midi-input").value = chosen?.id ?? chosen ?? "";
  }

  #playOn(id) {
    const { keyboards, ports } = this;
    keyboards.chosen = id === COMPUTER ? COMPUTER : ports.inputs.find((each) => each.id === id) ?? null;
    $("midi-input").value = keyboards.chosen ? id : "";
    if (id !== COMPUTER) remember("midi-input", keyboards.chosen?.name ?? "");
    announce(!keyboards.chosen ? "No keyboard" : id === COMPUTER ? "Keys A to quote play notes, Z and X change the octave" : `You play on ${keyboards.chosen.name}`);
  }

  /** Ask the visitor to choose a keyboard, for a recording. */
  askForKeyboard() {
    this.#say("Choose what you play on, then record.");
    setTimeout(() => {  // after the current click, which closes all menus
      $("midi").open = true;
      $("midi-input").focus();
    });
  }

  #choose(id) {
    const { out, player, ports } = this;
    const port = ports.outputs.find((each) => each.id === id) ?? null;
    if (out.port) player.disconnect(out);
    out.port = port;
    $("midi-output").value = port?.id ?? "";
    remember("midi-output", port?.name ?? "");
    this.#route();
    if (port) player.connect(out);
    announce(port ? `The music plays through ${port.name}` : "The music plays on this page");
  }

  #route() { this.sound.audible = !this.out.port || $("midi-also-here").checked; }
}
