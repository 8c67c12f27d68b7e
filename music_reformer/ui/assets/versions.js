// The versions of a piece, as a small tree: what was opened, and every variation that was kept. Nothing kept is
// lost: going back and keeping another variation grows a branch.

import { count } from "./draw.js";
import { wholeBars } from "./score.js";

const MAX_NAME = 40;
const COLUMN = 150, GAP = 8;
// The height of a version in the tree: larger for touch.
const PILL = matchMedia("(pointer: coarse)").matches ? 44 : 30, ROW = PILL + GAP;

export class Versions {
  #list = [];
  current = null;

  /** `onGo(version)` receives the version to show; `onName()` is called when a version has been named. */
  constructor({ element, onGo, onName }) {
    Object.assign(this, { element, onGo, onName });
  }

  /** Begin a new tree with a piece. */
  plant(piece) {
    this.#list = [];
    this.current = null;
    return this.grow(piece);
  }

  /** Add `piece` as a child of the current version, and go there. */
  grow(piece) {
    const version = { ...piece, parent: this.current, children: [] };
    this.current?.children.push(version);
    if (this.current) this.current.latest = version;
    this.#list.push(version);
    this.current = version;
    this.draw();
    return version;
  }

  clear() { this.restore({ list: [], current: -1 }); }

  /** The tree as plain data: the versions in order of creation, with their relatives as indices into that list. */
  get whole() {
    const placeOf = (version) => this.#list.indexOf(version);
    const plain = ({ parent, children: _, latest, ...version }) => ({ ...version, parent: placeOf(parent), latest: placeOf(latest) });
    return { list: this.#list.map(plain), current: placeOf(this.current) };
  }

  /** Restore a tree from `whole`. */
  restore({ list, current }) {
    this.#list = list.map((version) => ({ ...version, children: [] }));
    for (const version of this.#list) {
      version.parent = this.#list[version.parent] ?? null;
      version.latest = this.#list[version.latest];
      version.parent?.children.push(version);
    }
    this.current = this.#list[current] ?? null;
    this.draw();
  }

  get canUndo() { return Boolean(this.current?.parent); }
  get canRedo() { return Boolean(this.current?.latest); }
  undo() { if (this.canUndo) this.onGo(this.current.parent); }
  redo() { if (this.canRedo) this.onGo(this.current.latest); }

  /** Make `version` the current one; redoing leads back to where the visitor was. */
  go(version) {
    for (let child = version; child.parent; child = child.parent) child.parent.latest = child;
    this.current = version;
    this.draw();
  }

  draw() {
    this.element.hidden = this.#list.length < 2;
    if (this.element.hidden) return this.element.replaceChildren();
    const places = placed(this.#list[0], this.current);
    const rows = Math.max(...places.map(({ row }) => row)) + 1;
    const columns = Math.max(...places.map(({ column }) => column)) + 1;
    const box = document.createElement("div");
    box.className = "tree";
    box.style.width = `${columns * COLUMN}px`;
    box.style.height = `${rows * ROW - (ROW - PILL)}px`;
    box.append(lines(places), ...places.map((place) => this.#pill(place)));
    this.element.replaceChildren(box);
    box.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #pill({ version, column, row, edits }) {
    const label = edits > 1 && !version.isNamed ? `${edits} edits` : version.label;
    const pill = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    pill.style.transform = `translate(${column * COLUMN}px, ${row * ROW}px)`;
    pill.title = `${version.label} · ${count(wholeBars(version.score), "bar")} · F2, or a click on the version in view, renames it`;
    if (version === this.current) pill.setAttribute("aria-current", "true");
    pill.setAttribute("aria-keyshortcuts", "F2");
    pill.addEventListener("click", () => (version === this.current ? this.#askForName(pill, version) : this.onGo(version)));
    pill.addEventListener("keydown", ({ key }) => { if (key === "F2") this.#askForName(pill, version); });
    return pill;
  }

  /** Replace a pill by a text field. Enter, or leaving it, renames the version; Escape keeps the old name. */
  #askForName(pill, version) {
    const field = Object.assign(document.createElement("input"), { type: "text", value: version.label, maxLength: MAX_NAME });
    field.setAttribute("aria-label", "Name of this version");
    field.style.transform = pill.style.transform;
    let isOver = false;
    const end = (name) => {
      if (isOver) return;
      isOver = true;
      const hadFocus = document.activeElement === field;
      if (name && name !== version.label) Object.assign(version, { label: name, isNamed: true });
      this.draw();
      this.onName();
      if (hadFocus) this.element.querySelector("[aria-current]")?.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.stopPropagation();
      event.preventDefault();  // otherwise Enter would press the pill, which gets the focus
      end(event.key === "Enter" ? field.value.trim() : "");
    });
    field.addEventListener("blur", () => end(field.value.trim()));
    pill.replaceWith(field);
    field.select();
    field.focus();
  }
}

/** Whether a version is an intermediate step in a run of edits by hand, of which only the last is drawn. */
export const isStep = ({ byHand, isNamed, children }) => Boolean(byHand) && !isNamed && children.length === 1 && Boolean(children[0].byHand);

/** Layout with columns by generation; a first child continues its parent's row, others take new rows. Of a run of `edits`,
 *  only the last version and the one on show have places. `from` is the place of the version that it is drawn as a child of. */
function placed(root, current) {
  const places = [];
  let rows = 0;
  const visit = (version, from, column, row, edits) => {
    if (isStep(version) && version !== current) return visit(version.children[0], from, column, row, edits + 1);
    const place = { version, from, column, row, edits: version.byHand ? edits + 1 : 0 };
    places.push(place);
    version.children.forEach((child, index) => visit(child, place, column + 1, index === 0 ? row : ++rows, 0));
  };
  visit(root, null, 0, 0, 0);
  return places;
}

function lines(places) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  for (const { from, column, row } of places) {
    if (!from) continue;
    const [x, y] = [column * COLUMN, row * ROW + PILL / 2];
    const [left, top] = [from.column * COLUMN + COLUMN - 20, from.row * ROW + PILL / 2];
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", row === from.row ? `M${left} ${y}H${x}` : `M${left + 4} ${top}V${y - 6}q0 6 6 6H${x}`);
    svg.append(path);
  }
  return svg;
}
