// The export menu. The server writes MIDI and notation; sound is rendered here, as it is heard. `span` is {since, until,
// programs, tracks} of the new notes in what is exported, or null.

import { exportAs, fileAddress } from "./api.js";
import { channelsOf } from "./channels.js";
import { count } from "./draw.js";

const MAX_MINUTES = 30;

export class Exports {
  /** `shown()` gives {key, name, score, silent, span} of what is on the roll, `link()` the address with its settings;
   *  `onLinkInAddress(link)` puts it into the address bar, `onPrint(onProgress)` prints the score. */
  constructor({ menu, status, keptDays, shown, link, onLinkInAddress, onPrint, onError }) {
    Object.assign(this, { menu, status, keptDays, shown, link, onLinkInAddress, onPrint, onError });
    menu.addEventListener("click", (event) => {
      const kind = event.target.closest("[data-export]")?.dataset.export;
      if (kind) this.#start(kind);
    });
    menu.addEventListener("toggle", () => this.#refresh());
  }

  #refresh() {
    this.status.textContent = "";
    const { key, span, score } = this.shown();
    const possible = { whole: key, tracks: key, musicxml: key, print: key, new: key && span, wav: score.notes.length, link: true };
    for (const button of this.menu.querySelectorAll("[data-export]")) button.disabled = !possible[button.dataset.export];
  }

  async #start(kind) {
    if (this.busy) return;
    this.busy = true;
    try {
      await this[`_${kind}`](this.shown());
    } catch (error) {
      this.status.textContent = "";
      this.menu.open = false;
      this.onError(error);
    } finally {
      this.busy = false;
    }
  }

  _whole({ key, name }) { this.#save(fileAddress(key), `${name}.mid`); }
  _new({ key, span }) { return this.#made(key, "new", span); }
  _tracks({ key }) { return this.#made(key, "tracks"); }

  _musicxml({ key }) {
    this.status.textContent = "Writing the notation… A long piece takes a minute.";
    return this.#made(key, "musicxml");
  }

  _print() { return this.onPrint((text) => { this.status.textContent = text; }); }

  async #made(key, kind, span = {}) {
    const file = await exportAs(key, kind, span);
    this.#save(fileAddress(file.key), file.name);
  }

  async _wav({ name, score, silent }) {
    if (score.seconds > MAX_MINUTES * 60) {
      this.status.textContent = `A WAV file of more than ${MAX_MINUTES} minutes is too large for the browser; export MIDI instead.`;
      return;
    }
    this.status.textContent = "Rendering…";
    const response = await fetch("soundfont");
    if (!response.ok) throw new Error("the soundfont could not be fetched");
    const soundfont = await response.arrayBuffer();
    const wav = await this.#render({ score: plain(score), silent: [...silent], channels: channelsOf(score.tracks), soundfont });
    const address = URL.createObjectURL(new Blob([wav], { type: "audio/wav" }));
    this.#save(address, `${name}.wav`);
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  #render(job) {
    return new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./wav-worker.js", import.meta.url), { type: "module" });
      worker.onerror = () => { worker.terminate(); reject(new Error("the sound could not be rendered")); };
      worker.onmessage = ({ data }) => {
        if (data.done !== undefined) this.status.textContent = `Rendering… ${Math.round(data.done * 100)} %`;
        if (data.wav) { worker.terminate(); resolve(data.wav); }
      };
      worker.postMessage(job, [job.soundfont]);
    });
  }

  async _link() {
    const link = this.link();
    const lasting = link.includes("kept%3A") ? ` The server keeps your piece for ${count(this.keptDays, "day")} after its last use.` : "";
    try {
      await navigator.clipboard.writeText(link);
      this.status.textContent = `Link copied.${lasting}`;
    } catch {
      // Over plain http, or where the visitor forbids it.
      this.onLinkInAddress(link);
      this.status.textContent = `Copy the link from the address bar.${lasting}`;
    }
  }

  #save(address, name) {
    const link = Object.assign(document.createElement("a"), { href: address, download: name });
    link.click();
    this.status.textContent = `Downloading ${name}`;
  }
}

/** What another thread can be sent. */
const plain = ({ tracks, notes, moves, seconds }) => ({ tracks, notes, moves, seconds });
