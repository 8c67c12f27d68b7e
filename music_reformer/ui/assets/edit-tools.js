// The row of tools shown while notes are edited: grid, track of new notes, and a button for each action.

import { letDragOut } from "./drag-out.js";

const $ = (id) => document.getElementById(id);

export class EditTools {
  /** `onUse(tool)` receives the name of the tool that was pressed; `file()` gives the selected notes as {name, address}, or
   *  null. */
  constructor({ onUse, file }) {
    this.file = file;
    letDragOut($("edit-out"), file);
    $("edit-tools").addEventListener("click", (event) => {
      const tool = event.target.closest("[data-edit]")?.dataset.edit;
      if (tool) onUse(tool);
    });
  }

  get draws() { return $("edit-draw").getAttribute("aria-pressed") === "true"; }
  toggleDraw() { $("edit-draw").setAttribute("aria-pressed", !this.draws); }

  /** Ticks between two lines of the grid; 1 without a grid. */
  step({ resolution }) { return Math.max(Math.round(resolution * 4 * Number($("edit-grid").value)), 1); }

  /** The track for new notes. `drum`: whether it must be a drum track; undefined: either. */
  trackFor({ tracks }, { drum }) {
    const wanted = Math.min(Number($("edit-track").value) || 0, tracks.length - 1);
    const fits = (track) => drum === undefined || track.drum === drum;
    return fits(tracks[wanted]) ? wanted : Math.max(tracks.findIndex(fits), 0);
  }

  chooseTrack(place) { $("edit-track").value = place; }

  /** `has` maps "notes" and "copied" to whether there are any; `locked`: whether all selected notes are locked. */
  show({ tracks }, { locked, ...has }) {
    $("edit-lock").setAttribute("aria-pressed", locked);
    const names = tracks.map(({ name }) => name);
    const select = $("edit-track");
    if (names.join("\n") !== [...select.options].map(({ text }) => text).join("\n")) {
      select.replaceChildren(...names.map((name, place) => new Option(name, place)));
    }
    select.hidden = names.length < 2;
    for (const button of $("edit-tools").querySelectorAll("[data-needs]")) button.disabled = !has[button.dataset.needs];
    const file = this.file();
    if (file) Object.assign($("edit-out"), { href: file.address, download: file.name });
    else $("edit-out").removeAttribute("href");
  }
}
