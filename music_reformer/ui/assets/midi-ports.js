// The computer's MIDI devices, through the browser. Access is requested only when the visitor wants it.

/** Why MIDI is not available here, as a sentence for the visitor, or null. */
export function midiObstacle() {
  if (!window.isSecureContext) return "MIDI devices need https: use it, or open the page on the server itself.";
  if (!navigator.requestMIDIAccess) return "This browser has no Web MIDI: Chrome, Edge, Opera and Firefox have it.";
  return null;
}

export class MidiPorts extends EventTarget {
  #access = null;

  /** Ask the browser for the devices. Rejects if it or the visitor refuses. */
  async open() {
    if (this.#access) return;
    this.#access = await navigator.requestMIDIAccess();
    this.#access.onstatechange = () => this.dispatchEvent(new Event("change"));
  }

  get isOpen() { return this.#access !== null; }
  get inputs() { return connected(this.#access?.inputs); }
  get outputs() { return connected(this.#access?.outputs); }
}

const connected = (ports) => [...(ports?.values() ?? [])].filter(({ state }) => state !== "disconnected");
