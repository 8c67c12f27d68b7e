// What is found again after a reload, or tomorrow: the versions of the piece and what was composed from them, kept by this
// browser. The server keeps their files for a day; a memory that is older is of no use, and goes.

const DATABASE = "music-reformer", STORE = "tabs", OPEN = "music-reformer-tab", DAY = 24 * 3600 * 1000;

/** Run `action(store)` in a transaction of its own; resolves to the result of the request that it returns. */
function transact(mode, action) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "tab" });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(STORE, mode);
      const request = action(transaction.objectStore(STORE));
      const end = (settle, value) => { database.close(); settle(value); };
      transaction.oncomplete = () => end(resolve, request.result);
      transaction.onabort = () => end(reject, transaction.error);
    };
  });
}

export class Memory {
  #timer = null;
  // Two tabs of one browser do not get in each other's way.
  #tab = crypto.getRandomValues(new Uint32Array(4)).join("");

  /** Keep `session`, plain data, as what this tab has open. */
  save(session) {
    sessionStorage.setItem(OPEN, this.#tab);
    clearTimeout(this.#timer);
    // A browser that keeps nothing (a private window, a full disk) is no fault of the visitor's.
    this.#timer = setTimeout(() => {
      transact("readwrite", (store) => store.put({ ...session, tab: this.#tab, saved: Date.now() })).catch(() => {});
    }, 200);
  }

  /** This tab has nothing open any more; what it had can still be gone on with. */
  close() {
    sessionStorage.removeItem(OPEN);
  }

  /** {session, isOpen}: what this tab had open before it was reloaded; or else what was open last in any; or nothing. */
  async find() {
    const sessions = await transact("readwrite", (store) => {
      const request = store.getAll();
      request.onsuccess = () => {
        for (const { tab, saved } of request.result) if (saved < Date.now() - DAY) store.delete(tab);
      };
      return request;
    }).catch(() => []);
    const fresh = sessions.filter(({ saved }) => saved >= Date.now() - DAY).sort((a, b) => b.saved - a.saved);
    const mine = fresh.find(({ tab }) => tab === sessionStorage.getItem(OPEN));
    if (mine) this.#tab = mine.tab;
    return { session: mine ?? fresh[0] ?? null, isOpen: Boolean(mine) };
  }
}
