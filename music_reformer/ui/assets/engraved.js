// A piece as engraved systems, which the server engraves in stretches. A system is {first, bars, width, height, svg}:
// its first bar (from 0), its number of bars, its size in staff spaces, and its drawing as text.

import { engrave } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";
const STAFF_LINES = 5;
const FONT = 'Georgia, "Times New Roman", Times, serif';  // font of texts
const PEN = document.createElement("canvas").getContext("2d");  // measures their widths
const AROUND = 360;  // margin of a bar's box around its staves, in Verovio's units: two staff spaces

export class Engraved {
  systems = [];
  parts = [];
  bars = 0;  // of the piece
  printWidth = null;
  #next = 0;
  #loading = null;

  /** A kept piece, by its key, in systems `width` staff spaces wide. */
  constructor(key, width) { Object.assign(this, { key, width }); }

  get isWhole() { return this.#next === null; }
  /** Number of bars loaded so far. */
  get loaded() { return this.#next ?? this.bars; }

  /** Load the next stretch; resolves to its systems. Concurrent calls share one request. */
  more() {
    this.#loading ??= this.#load().finally(() => { this.#loading = null; });
    return this.#loading;
  }

  async #load() {
    if (this.isWhole) return [];
    const answer = await engrave(this.key, this.#next, this.width);
    define(answer.glyphs);
    Object.assign(this, { parts: answer.parts, bars: answer.bars, printWidth: answer.print_width });
    this.systems.push(...answer.systems);
    this.#next = answer.next;
    return answer.systems;
  }
}

/** Add the outlines of glyphs to the document, once each; drawings refer to them. */
function define(glyphs) {
  let all = document.getElementById("glyphs");
  if (!all) {
    all = document.createElementNS(SVG, "svg");
    all.id = "glyphs";
    all.setAttribute("aria-hidden", "true");
    document.body.append(all);
  }
  for (const [name, outline] of Object.entries(glyphs)) {
    const id = `glyph-${name}`;
    if (document.getElementById(id)) continue;
    const path = document.createElementNS(SVG, "path");
    path.id = id;
    path.setAttribute("d", outline);
    path.setAttribute("transform", "scale(1,-1)");
    all.append(path);
  }
}

/** A system as an element, with a box behind each bar. */
export function drawn({ first, bars, width, height, svg }) {
  const root = document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true);
  root.style.fontFamily = FONT;
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", bars === 1 ? `Bar ${first + 1}` : `Bars ${first + 1} to ${first + bars}`);
  for (const measure of root.querySelectorAll("[data-bar]")) measure.prepend(box(measure));
  for (const name of root.querySelectorAll(":is(.label, .labelAbbr) > text")) fit(name);
  const holder = document.createElement("div");
  holder.className = "system";
  holder.style.aspectRatio = `${width} / ${height}`;
  holder.append(root);
  return holder;
}

/** Narrow a part's name to the room that Verovio leaves for it in Times, which not every system has. */
function fit(name) {
  const room = Number(name.getAttribute("x"));
  const size = name.querySelector("[font-size]:not(:has([font-size]))")?.getAttribute("font-size");
  PEN.font = `${size} ${FONT}`;
  if (PEN.measureText(name.textContent).width <= room) return;
  name.setAttribute("textLength", room);
  name.setAttribute("lengthAdjust", "spacingAndGlyphs");
}

/** The box of a bar: as wide as its staves' lines, from the uppermost to the lowest. */
function box(measure) {
  const staves = measure.querySelectorAll(":scope > .staff");
  const [left, top, right] = numbers(staves[0].children[0]);
  const [, bottom] = numbers(staves[staves.length - 1].children[STAFF_LINES - 1]);
  const rect = document.createElementNS(SVG, "rect");
  const place = { x: left, y: top - AROUND, width: right - left, height: bottom - top + 2 * AROUND };
  for (const [name, value] of Object.entries(place)) rect.setAttribute(name, value);
  rect.setAttribute("class", "bar-box");
  return rect;
}

/** Left, top and right of a staff line, "M2031 617 L9621 617". */
function numbers(line) {
  const [left, top, right] = line.getAttribute("d").match(/-?[\d.]+/g).map(Number);
  return [left, top, right];
}

/** Mark new bars and the cut in the bars of `element`. `marks`: {cut, until (bars, null: to the end),
 *  isNew and leavesOut (about the bars in between), plays(part) (whether a part is new there)}; null: no marks. */
export function mark(element, marks, parts) {
  for (const measure of element.querySelectorAll("[data-bar]")) {
    const bar = Number(measure.dataset.bar);
    const isBetween = marks !== null && bar >= marks.cut && bar < (marks.until ?? Infinity);
    measure.classList.toggle("is-left-out", isBetween && Boolean(marks.leavesOut));
    measure.classList.toggle("is-new", isBetween && marks.isNew);
    measure.classList.toggle("at-cut", marks !== null && bar === marks.cut);
    measure.classList.toggle("at-until", marks !== null && bar === marks.until);
    drawCut(measure, marks !== null && (bar === marks.cut || bar === marks.until));
    const staves = measure.querySelectorAll(":scope > .staff");
    let place = 0;
    for (const part of parts) {
      const isNew = isBetween && marks.isNew && marks.plays(part);
      for (let staff = 0; staff < part.staves; staff++) staves[place++]?.classList.toggle("is-new", isNew);
    }
  }
}

function drawCut(measure, isThere) {
  const line = measure.querySelector(":scope > .cut-line");
  if (Boolean(line) === isThere) return;
  if (line) return line.remove();
  const [x, y, height] = ["x", "y", "height"].map((name) => Number(measure.querySelector(".bar-box").getAttribute(name)));
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("d", `M${x} ${y}V${y + height}`);
  made.setAttribute("class", "cut-line");
  measure.append(made);
}
