// The export menu. The server writes MIDI and notation; sound is rendered here, as played. `span` is {since, until,
// programs, tracks} of the new notes in what is exported, or null.

import { exportAs, fileAddress } from "./api.js";
import { channelsOf } from "./channels.js";
import { download, downloadBlob } from "./downloads.js";
import { count } from "./draw.js";
import { canEncode } from "./ogg-opus.js";
import { heardTracks, oggFileOf, stemsOf, wavOf } from "./sound-files.js";

const MAX_MINUTES = 30;
const MAX_STEM_MINUTES = 60;  // over all tracks: some 600 MB

export class Exports {
  /** `shown()` gives {key, name, score, silent, span, part} of what is on the roll (`part`: the marked bars as a file, or null), `link()` the address with its settings;
   *  `onLinkInAddress(link)` puts it into the address bar, `onPrint(onProgress)` prints the score. */
  constructor({ menu, status, keptDays, shown, link, onLinkInAddress, onPrint, onError }) {
    Object.assign(this, { menu, status, keptDays, shown, link, onLinkInAddress, onPrint, onError });
    menu.addEventListener("click", (event) => {
      const kind = event.target.closest("[data-export]")?.dataset.export;
      if (kind) this.#start(kind);
    });
    canEncode().then((can) => { menu.querySelector("[data-export=ogg]").hidden = !can; });
    menu.addEventListener("toggle", () => this.#refresh());
  }

  #refresh() {
    this.status.textContent = "";
    const { key, span, score, part } = this.shown();
    const possible = { whole: key, part, tracks: key, musicxml: key, print: key, new: key && span, wav: score.notes.length, stems: score.notes.length, ogg: score.notes.length, link: true };
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
  _part({ part }) { this.#save(part.address, part.name); }
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

  _wav(shown) { return this.#sound(shown, wavOf, { minutes: MAX_MINUTES, suffix: ".wav" }); }

  _ogg(shown) { return this.#sound(shown, oggFileOf, { minutes: MAX_MINUTES, suffix: ".ogg" }); }

  _stems(shown) {
    return this.#sound(shown, stemsOf, { minutes: MAX_STEM_MINUTES / heardTracks(shown).length, suffix: " - stems.zip" });
  }

  async #sound({ name, score, silent }, make, { minutes, suffix }) {
    if (score.seconds > minutes * 60) {
      this.status.textContent = "This is too long to be rendered in the browser; export MIDI instead.";
      return;
    }
    this.status.textContent = "Rendering…";
    const blob = await make({ score, silent, channels: channelsOf(score.tracks) }, (share) => {
      this.status.textContent = `Rendering… ${Math.round(share * 100)} %`;
    });
    downloadBlob(blob, `${name}${suffix}`);
    this.#tell(`${name}${suffix}`);
  }

  async _link() {
    const link = this.link();
    const lasting = link.includes("kept%3A") ? ` The server keeps your piece for ${count(this.keptDays, "day")} after its last use.` : "";
    try {
      await navigator.clipboard.writeText(link);
      this.status.textContent = `Link copied.${lasting}`;
    } catch {
      // No clipboard over plain http, or if the visitor denies it.
      this.onLinkInAddress(link);
      this.status.textContent = `Copy the link from the address bar.${lasting}`;
    }
  }

  #save(address, name) {
    download(address, name);
    this.#tell(name);
  }

  #tell(name) { this.status.textContent = `Downloading ${name}`; }
}
