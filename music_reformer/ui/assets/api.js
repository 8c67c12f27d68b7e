// The server's operations, called through Gradio's queue. Every call has a session of its own, so that closing its
// stream (when a visitor leaves, or cancels while waiting) takes it out of the queue.

/** An error with a sentence for the visitor. */
export class Problem extends Error {}

const LOST = "The connection to the server was lost. Reload the page to continue.";
const FAILED = "Something went wrong on the server. Try again; if it happens again, the server's log says why.";

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem(LOST);
  }
  if (!response.ok) throw new Problem(await refusal(response));
  return response.json();
}

/** Why the server refused a request: its own sentence, if it sent one. */
async function refusal(response) {
  if (response.status === 413) return "This file is larger than 5 MB; choose a smaller one.";
  const { error } = await response.json().catch(() => ({}));
  if (typeof error === "string") return error;
  return response.status === 503 ? "Too many visitors are waiting just now; try again in a minute." : FAILED;
}

const json = (data) => ({
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data),
});

/** A result with its piano rolls parsed (they arrive as JSON text), each with its chords and sections. */
function withRolls(result) {
  for (const piece of [result, ...(result?.variations ?? [])]) {
    if (typeof piece?.roll === "string") piece.roll = { ...JSON.parse(piece.roll), outline: JSON.parse(piece.outline) };
  }
  return result;
}

/** Call `operation` with `data`; resolves to its result. `onReport` receives each streamed value, `onPlace` the
 *  number of visitors ahead, 0 when it is this one's turn. Aborting `signal` leaves the queue and resolves to null. */
export async function call(operation, data, { onReport, onPlace, signal } = {}) {
  const session = crypto.getRandomValues(new Uint32Array(4)).join("");
  await request(`gradio_api/call/${operation}`, json({ data, session_hash: session }));
  return new Promise((resolve, reject) => {
    const stream = new EventSource(`gradio_api/queue/data?session_hash=${session}`);
    const end = (settle, value) => { stream.close(); settle(value); };
    signal?.addEventListener("abort", () => end(resolve, null));
    if (signal?.aborted) end(resolve, null);
    stream.onerror = () => end(reject, new Problem(LOST));
    stream.onmessage = ({ data: text }) => {
      const message = JSON.parse(text);
      // The rank counts waiting visitors only; one more is being served.
      if (message.msg === "estimation") onPlace?.((message.rank ?? 0) + 1);
      else if (message.msg === "process_starts") onPlace?.(0);
      else if (message.msg === "unexpected_error") end(reject, new Problem(LOST));
      else if (message.msg === "process_generating" && message.success) onReport?.(withRolls(message.output.data[0]));
      else if (message.msg === "process_completed") {
        if (message.success) end(resolve, withRolls(message.output.data?.[0] ?? null));
        else end(reject, new Problem(message.output.error || FAILED));
      }
    };
  });
}

/** Send a File to the server and open it as a piece. */
export async function openFile(file) {
  const form = new FormData();
  form.append("files", file);
  const [path] = await request("gradio_api/upload", { method: "POST", body: form });
  return call("open", [{ path, orig_name: file.name, meta: { _type: "gradio.FileData" } }]);
}

export const openExample = (key) => call("example", [key]);
/** Open a file that the server keeps, as a piece. */
export const openKept = (key) => call("piece", [key]);
/** Change notes of a piece (`changes` as of `orderOf`); resolves to the changed piece. */
export const editNotes = (piece, changes) => call("edit", [{ piece, ...changes }]);
/** Join bars of several variations, given by their keys; `bars` has, for each new bar, the index of one. Resolves to the piece. */
export const joinBars = (variations, bars, { since, until, programs, tracks }) => (
  call("join", [{ variations, bars, since, until: until ?? -1, programs, tracks }])
);
export const stop = (ticket) => request("gradio_api/run/stop", json({ data: [ticket] }));
export const setup = () => request("setup");
/** The state of the queue: {seconds_left of the running composition, seconds that one typically takes}. */
export const waiting = () => request("waiting");
/** Export a kept piece in another format; resolves to the {key, name} of the file. */
export const exportAs = (key, kind, { since = 0, until = null, programs = [], tracks = [] }) => (
  call("export", [key, kind, since, until ?? -1, programs, tracks])
);
/** A kept piece as engraved systems from bar `bar` on, `width` staff spaces wide (see engraved.js). */
export const engrave = async (key, bar, width) => JSON.parse(await call("engrave", [key, bar, width]));
export const fileAddress = (key) => `file/${key}`;
/** The address of a part of a kept piece: bars from index `cut` up to `until` (null: to the end), tracks by index (none: all), and
 *  single notes [track, tick, pitch] (none: all). */
export const partAddress = (key, { cut = 0, until = null, tracks = [], notes = [] }) => (
  `part/${key}?first_bar=${cut}&end_bar=${until ?? -1}&tracks=${tracks}&notes=${notes.map((note) => note.join("."))}`
);
