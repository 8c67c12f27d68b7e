// What a reload, or tomorrow's visit, finds again: pieces with their versions and what was composed from them, kept by this
// browser. The server removes their files some days after their last use; what is older is of no use, and goes. A browser
// that keeps nothing (a private window, a full disk) is no fault of the visitor's: then the page works without.

import { isStep } from "./versions.js";

const DATABASE = "music-reformer", FORM = 2, STORE = "pieces", FORMER_STORE = "tabs", TAB = "music-reformer-tab";
const DAY = 24 * 3600 * 1000;
export const MAX_PIECES = 8;
const MAX_NOTES = 400_000;  // of one piece, its versions and variations together
const PATIENCE = 30_000;  // milliseconds after which a store that does not answer is given up

/** Run `action(store)` in a transaction of its own; resolves to the result of the request that it returns. */
function transact(action) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("the browser's store does not answer")), PATIENCE);
    const opening = indexedDB.open(DATABASE, FORM);
    opening.onupgradeneeded = () => {
      const { objectStoreNames: names } = opening.result;
      if (names.contains(FORMER_STORE)) opening.result.deleteObjectStore(FORMER_STORE);
      if (!names.contains(STORE)) opening.result.createObjectStore(STORE, { keyPath: "id" });
    };
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const end = (settle, value) => { database.close(); settle(value); };
      try {
        const transaction = database.transaction(STORE, "readwrite");
        const request = action(transaction.objectStore(STORE));
        transaction.oncomplete = () => end(resolve, request.result);
        transaction.onabort = () => end(reject, transaction.error);
      } catch (error) {
        end(reject, error);  // the store is damaged, or holds what cannot be copied
      }
    };
  });
}

/** {id, link}: the piece that this tab had open, and the link in its address; null: none, or nothing is kept here. */
function readTab() {
  try { return JSON.parse(sessionStorage.getItem(TAB)); } catch { return null; }
}

function writeTab(tab) {
  try {
    if (tab) sessionStorage.setItem(TAB, JSON.stringify(tab));
    else sessionStorage.removeItem(TAB);
  } catch { /* kept nowhere */ }
}

const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("");

export class Memory {
  #pending = null;  // {session, timer}: what is to be written in a moment
  #hasSeveral = false;
  #id = newId();  // of the piece that is open; another tab that continues it keeps it under an id of its own

  /** `keptDays`: how long the server keeps the files. */
  constructor({ keptDays }) {
    this.keptDays = keptDays;
    this.hadSeveral = Boolean(readTab()?.several);  // before it was reloaded
    addEventListener("pagehide", () => this.#write());
  }

  /** Keep `session` (the versions, see `Versions.whole`, and what else it has) as what this tab has open, with the link that is
   *  in the address by now. */
  save(session) {
    this.#noteTab();
    clearTimeout(this.#pending?.timer);
    this.#pending = { session, timer: setTimeout(() => this.#write(), 200) };
  }

  /** Keep a session that this tab has beside the open one; returns it with the id that `claim` wants. */
  keep(session) {
    const kept = { ...session, id: newId() };
    this.#put(kept);
    return kept;
  }

  /** What `claim` wants of the piece that is open. */
  get id() { return this.#id; }

  /** Whether this tab has several pieces. */
  set hasSeveral(several) {
    this.#hasSeveral = several;
    if (readTab()) this.#noteTab();
  }

  #noteTab() { writeTab({ id: this.#id, link: location.hash, several: this.#hasSeveral }); }

  /** The link that is in the address by now leads to what this tab has open. */
  noteLink() { if (readTab()) this.#noteTab(); }

  async #write() {
    if (!this.#pending) return;
    const { session, timer } = this.#pending;
    clearTimeout(timer);
    this.#pending = null;
    await this.#put({ ...session, id: this.#id });
  }

  async #put(session) {
    const versions = bounded(session);
    if (versions) await transact((store) => store.put({ ...session, ...versions, saved: Date.now() })).catch(() => {});
  }

  /** This tab has nothing open any more; what it had can still be continued. Resolves when it is written. */
  async close() {
    writeTab(null);
    const written = this.#write();
    this.#id = newId();
    await written;
  }

  /** Whether the address leads to what this tab had open before it was reloaded; any other link is to be followed. */
  get isReload() {
    const tab = readTab();
    return Boolean(tab) && ["", tab.link].includes(location.hash);
  }

  /** {open, former}: the session that this tab had open before it was reloaded, or null; others, the last one first. */
  async find() {
    const id = this.isReload ? readTab().id : null;
    const since = Date.now() - this.keptDays * DAY;
    const records = await transact((store) => {
      const request = store.getAll();
      request.onsuccess = () => {
        const useful = new Set(usefulOf(request.result, since));
        for (const record of request.result) if (!useful.has(record)) store.delete(record.id);
      };
      return request;
    }).then((found) => usefulOf(found, since), () => []);
    const open = records.find((record) => record.id === id) ?? null;
    const key = ({ list, current }) => list[current].key;
    const former = records.filter((record, place) => record !== open && records.findIndex((other) => key(other) === key(record)) === place);
    return { open, former };
  }

  /** What this tab has open from now on is this session, and is kept in its place. */
  claim({ id }) { this.#id = id; }

  /** `session` cannot be used. */
  async forget({ id }) {
    writeTab(null);
    await transact((store) => store.delete(id)).catch(() => {});
  }
}

function usefulOf(records, since) {
  const fresh = records.filter((record) => record.saved >= since && isSound(record));
  return fresh.sort((a, b) => b.saved - a.saved).slice(0, MAX_PIECES);
}

const LISTS = ["tracks", "notes", "moves", "bars", "beats", "tempos", "metres"];
const isNote = (note) => [note?.start, note?.end, note?.pitch].every(Number.isFinite);
const isScore = (score) => LISTS.every((name) => Array.isArray(score?.[name])) && score.bars.length > 0 && score.metres.length > 0
  && Number.isFinite(score.seconds) && score.notes.every(isNote);
const isRun = (run) => !run || (Array.isArray(run.variations) && run.variations.every((variation) => isScore(variation?.score)));
const isVersion = (version, place) => ["key", "name", "label"].every((name) => typeof version?.[name] === "string")
  && isScore(version.score) && isRun(version.run) && (place === 0 ? version.parent === -1 : version.parent >= 0 && version.parent < place);

/** Whether a record is one that `save` wrote, whole. */
function isSound({ list, current }) {
  return Array.isArray(list) && list.every(isVersion) && Number.isInteger(current) && current in list;
}

const notesOf = ({ score, run }) => score.notes.length + (run?.variations.reduce((sum, variation) => sum + variation.score.notes.length, 0) ?? 0);
const sizeOf = (list) => list.reduce((sum, version) => sum + notesOf(version), 0);

/** A session without the steps of its runs of edits, but for the one in view. */
function withoutSteps({ list, current }) {
  const childrenOf = (place) => list.filter(({ parent }) => parent === place);
  const isGone = (place) => place !== current && isStep({ ...list[place], children: childrenOf(place) });
  const left = [...list.keys()].filter((place) => !isGone(place));
  const before = (place) => (place >= 0 && isGone(place) ? before(list[place].parent) : left.indexOf(place));
  const after = (place) => (place >= 0 && isGone(place) ? after(list.findIndex(({ parent }) => parent === place)) : left.indexOf(place));
  return {
    list: left.map((place) => ({ ...list[place], parent: before(list[place].parent), latest: after(list[place].latest) })),
    current: left.indexOf(current),
  };
}

/** What of a session is kept: all of it, or of a very large one less, first without the steps of edits, then without what
 *  was composed from the versions that are not in view. Null: even the version in view is too large. */
function bounded(session) {
  const { list, current } = sizeOf(session.list) > MAX_NOTES ? withoutSteps(session) : session;
  const shorter = [...list];
  const places = [...shorter.keys()].filter((place) => place !== current);
  for (const place of [...places, current]) {
    if (sizeOf(shorter) <= MAX_NOTES) return { list: shorter, current };
    shorter[place] = { ...shorter[place], run: null, selected: null };
  }
  if (sizeOf(shorter) <= MAX_NOTES) return { list: shorter, current };
  const alone = { list: [{ ...shorter[current], parent: -1, latest: -1 }], current: 0 };
  return sizeOf(alone.list) <= MAX_NOTES ? alone : null;
}
