// What survives a reload, or until tomorrow's visit: pieces with their versions and what was composed from them, kept by this
// browser. The server removes their files some days after their last use; anything older is useless, and is deleted. If a browser
// keeps nothing (private window, full disk), the page works without.

import { isStep } from "./versions.js";

const DATABASE = "music-reformer", FORM = 2, STORE = "pieces", FORMER_STORE = "tabs", TAB = "music-reformer-tab";
const DAY = 24 * 3600 * 1000;
export const MAX_PIECES = 8;
const MAX_NOTES = 400_000;  // limit for one piece with all its versions and variations
const PATIENCE = 30_000;  // milliseconds to wait for the store before giving up on it

/** Run `action(store)` in its own transaction; resolves to the result of the request that it returns. */
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
        end(reject, error);  // the store is damaged, or the data cannot be cloned
      }
    };
  });
}

/** {id, link}: the piece last open in this tab, and the link in its address; null: none, or this browser keeps nothing. */
function readTab() {
  try { return JSON.parse(sessionStorage.getItem(TAB)); } catch { return null; }
}

function writeTab(tab) {
  try {
    if (tab) sessionStorage.setItem(TAB, JSON.stringify(tab));
    else sessionStorage.removeItem(TAB);
  } catch { /* this browser keeps nothing */ }
}

const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("");

export class Memory {
  #pending = null;  // {session, timer}: the session about to be written
  #hasSeveral = false;
  #id = newId();  // id of the open piece; another tab that continues it uses an id of its own

  /** `keptDays`: how long the server keeps the files. */
  constructor({ keptDays }) {
    this.keptDays = keptDays;
    this.hadSeveral = Boolean(readTab()?.several);  // before the reload
    addEventListener("pagehide", () => this.#write());
  }

  /** Keep `session` (the versions, see `Versions.whole`, and further data) as what this tab has open, with the link now
   *  in the address. */
  save(session) {
    this.#noteTab();
    clearTimeout(this.#pending?.timer);
    this.#pending = { session, timer: setTimeout(() => this.#write(), 200) };
  }

  /** Keep a session that this tab has besides the open one; returns it with an id for `claim`. */
  keep(session) {
    const kept = { ...session, id: newId() };
    this.#put(kept);
    return kept;
  }

  /** The id of the open piece's session, for `claim`. */
  get id() { return this.#id; }

  /** Record whether this tab has several pieces. */
  set hasSeveral(several) {
    this.#hasSeveral = several;
    if (readTab()) this.#noteTab();
  }

  #noteTab() { writeTab({ id: this.#id, link: location.hash, several: this.#hasSeveral }); }

  /** Record that the link now in the address leads to what this tab has open. */
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

  /** Record that this tab has nothing open any more; its piece can still be continued. Resolves once that is written. */
  async close() {
    writeTab(null);
    const written = this.#write();
    this.#id = newId();
    await written;
  }

  /** Whether the address leads to what this tab had open before the reload; any other link is followed. */
  get isReload() {
    const tab = readTab();
    return Boolean(tab) && ["", tab.link].includes(location.hash);
  }

  /** {open, former}: the session that this tab had open before the reload, or null; and other sessions, latest first. */
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

  /** Make a session the one that this tab has open, so that it is kept in its place. */
  claim({ id }) { this.#id = id; }

  /** Delete a session that cannot be used. */
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

/** Whether a record is complete, as `save` writes it. */
function isSound({ list, current }) {
  return Array.isArray(list) && list.every(isVersion) && Number.isInteger(current) && current in list;
}

const notesOf = ({ score, run }) => score.notes.length + (run?.variations.reduce((sum, variation) => sum + variation.score.notes.length, 0) ?? 0);
const sizeOf = (list) => list.reduce((sum, version) => sum + notesOf(version), 0);

/** A session without the intermediate steps of its runs of edits, except for the version in view. */
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

/** The part of a session that is kept: all of it or, if it is very large, without intermediate steps of edits, then also without what
 *  was composed from versions not in view. Null: even the version in view is too large. */
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
