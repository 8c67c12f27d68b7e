// The versions of a piece: what was opened, and every variation that was kept, as a small tree. Nothing that was kept is
// lost: going back and keeping something else grows a branch.

import { count } from "./draw.js";
import { wholeBars } from "./score.js";

const COLUMN = 150, GAP = 8;
// The height of a version in the tree: fingers need more.
const PILL = matchMedia("(pointer: coarse)").matches ? 44 : 30, ROW = PILL + GAP;

export class Versions {
  #list = [];
  current = null;

  /** `onGo(version)` receives the version that the visitor wants. */
  constructor({ element, onGo }) {
    Object.assign(this, { element, onGo });
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

  /** All there is as plain data: the versions in the order of their making, their relatives as places in that list. */
  get whole() {
    const placeOf = (version) => this.#list.indexOf(version);
    const plain = ({ parent, children: _, latest, ...version }) => ({ ...version, parent: placeOf(parent), latest: placeOf(latest) });
    return { list: this.#list.map(plain), current: placeOf(this.current) };
  }

  /** Show what was `whole` once. */
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
    const label = edits > 1 ? `${edits} edits` : version.label;
    const pill = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    pill.style.transform = `translate(${column * COLUMN}px, ${row * ROW}px)`;
    pill.title = `${version.name} · ${count(wholeBars(version.score), "bar")}`;
    if (version === this.current) pill.setAttribute("aria-current", "true");
    pill.addEventListener("click", () => this.onGo(version));
    return pill;
  }
}

/** Whether a version is a step in a run of edits by hand, which is drawn as its last one. */
export const isStep = ({ byHand, children }) => Boolean(byHand) && children.length === 1 && Boolean(children[0].byHand);

/** Columns by generation; a first child goes on in its parent's row, others take rows of their own. Of a run of `edits`
 *  the last version has a place, and the one on show. `from` is the place before, of which it is drawn as a child. */
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
