// Keys for editing notes. Arrows move the selected notes or, if none are selected, the cursor.

import { closeMenus } from "./menus.js";
import { barAt, secondsAt, snap } from "./notes.js";

const OCTAVE = 12;

/** Actions by key, for keyboard.js; none unless notes are being edited. */
export function editKeys(editing) {
  if (!editing.isOn) return {};
  const use = (tool) => () => editing.use(tool);
  return {
    ArrowLeft: (event) => arrow(editing, -1, 0, event), ArrowRight: (event) => arrow(editing, 1, 0, event),
    ArrowUp: (event) => arrow(editing, 0, 1, event), ArrowDown: (event) => arrow(editing, 0, -1, event),
    ",": () => editing.walk(-1), ".": () => editing.walk(1),
    "<": () => editing.walk(-1, { adds: true }), ">": () => editing.walk(1, { adds: true }),
    Enter: () => editing.add(editing.cursor), Delete: use("delete"), Backspace: use("delete"), Escape: () => escape(editing),
    K: use("lock"),
    "[": use("softer"), "]": use("louder"), Q: use("quantise"), B: use("bar"), D: use("draw"),
    "Ctrl A": () => editing.selectAll(), "Ctrl C": use("copy"), "Ctrl X": use("cut"), "Ctrl V": use("paste"),
  };
}

function arrow(editing, across, up, { shiftKey }) {
  const { score, step } = editing;
  if (!editing.hasSelection) {
    moveCursor(editing, across, up * (shiftKey ? OCTAVE : 1));
    editing.roll.reveal(secondsAt(score, editing.cursor.tick));
  } else if (up) editing.change({ pitch: up * (shiftKey ? OCTAVE : 1) });
  else editing.change(shiftKey ? { ticks: across * step } : { tick: across * step });
}

function moveCursor(editing, across, up) {
  const { score, step } = editing;
  const { tick, pitch } = editing.cursor;
  const before = (moment) => snap(score, Math.max(moment, 0), step, { down: true });
  const bar = barAt(score, tick);
  const line = across > 0 ? Math.min(before(tick) + step, bar.tick + bar.length) : before(tick + across);
  editing.point(line, Math.min(Math.max(pitch + up, 0), 127));
}

/** Close an open menu, or else clear the selection, or else end editing. */
function escape(editing) {
  if (closeMenus()) return;
  if (editing.hasSelection) editing.deselect();
  else editing.leave();
}
