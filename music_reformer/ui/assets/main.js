// The page: opens pieces, has them continued, plays them. Read this first; the other modules know nothing of each other.

import { ServerError, call, midiAddress, openExample, openFile, setup, stop } from "./api.js";
import { Cards } from "./cards.js";
import { clock, drawSmall, notesOf } from "./draw.js";
import { Player } from "./player.js";
import { Roll } from "./roll.js";
import { Settings } from "./settings.js";

const $ = (id) => document.getElementById(id);
const NOTHING = { key: "", name: "From nothing", roll: { tracks: [], bars: [0], beats: [], seconds: 0, cut: null, tempos: [] } };

const { examples, styles, limits, has_sound: hasSound } = await setup();
const settings = new Settings({ form: $("controls"), styles, limits });
const player = new Player();
const roll = new Roll({ element: $("roll"), overview: $("overview"), onSeek: seek });
const cards = new Cards({ element: $("variations"), onSelect: select });
const obstacle = Player.obstacle({ hasSound });

const pictures = new Map();
// phase: empty (nothing open), opening, ready, composing, done
const state = { phase: "empty", piece: null, variations: [], selected: 0, job: null };

// ---- Opening a piece

/** Open what `fetchPiece` brings; everything of the piece before goes first, so that no old result stays in view. */
async function open(fetchPiece) {
  leave();
  setPhase("opening");
  const attempt = (state.attempt = Symbol());
  try {
    const piece = await fetchPiece();
    if (state.attempt !== attempt) return;
    state.piece = { ...piece, notes: notesOf(piece.roll) };
    showPiece();
    setPhase("ready");
    if (!obstacle) player.prepare().catch(noSound);
  } catch (error) {
    if (state.attempt !== attempt) return;
    
// ---- The pictures of the empty page: the examples small, and the first of them large, turning into something new

function drawPictures() {
  if (state.phase !== "empty") return;
  for (const [canvas, { notes, to }] of pictures) drawSmall(canvas, notes, { from: 0, to });
  const { notes, to } = pictures.values().next().value;
  const melodic = notes.filter((note) => !note.drum);
  drawSmall($("art"), melodic.map((note) => ({ ...note, isNew: note.start >= to * 0.56 })), { from: 0, to });
}

setPhase("empty");
new ResizeObserver(drawPictures).observe($("welcome"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPictures);
    complain(error);
  }
}

function openLocal(file) {
  if (!file) return;
  if (file.size > limits.bytes) {
    leave();
    
// ---- The pictures of the empty page: the examples small, and the first of them large, turning into something new

function drawPictures() {
  if (state.phase !== "empty") return;
  for (const [canvas, { notes, to }] of pictures) drawSmall(canvas, notes, { from: 0, to });
  const { notes, to } = pictures.values().next().value;
  const melodic = notes.filter((note) => !note.drum);
  drawSmall($("art"), melodic.map((note) => ({ ...note, isNew: note.start >= to * 0.56 })), { from: 0, to });
}

setPhase("empty");
new ResizeObserver(drawPictures).observe($("welcome"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPictures);
    return complain(new ServerError(`This file is ${(file.size / 1e6).toFixed(1)} MB; the largest that can be opened is ${limits.bytes / 1e6} MB.`));
  }
  open(() => openFile(file));
}

/** Forget the piece, its variations and what is being composed. */
function leave() {
  state.job?.abort();
  Object.assign(state, { piece: null, variations: [], selected: 0, job: null, attempt: null });
  player.choose(null);
  cards.clear();
  roll.show({ notes: [], bars: [0], beats: [], seconds: 8, cut: null });
  $("message").hidden = true;
  $("result-text").textContent = $("piece-name").textContent = $("piece-facts").textContent = "";
}

function showPiece() {
  const { name, roll: { tracks, bars, beats, seconds, tempos }, notes, key } = state.piece;
  $("piece-name").textContent = name;
  const instruments = tracks.map((track) => (track.drum ? "Drums" : track.name || "Piano"));
  const count = Math.max(bars.length - 1, 0);
  $("piece-facts").textContent = key ? [
    `${count} ${count === 1 ? "bar" : "bars"}`, clock(seconds), tempos[0] && `${Math.round(tempos[0][1])} bpm`,
    [...new Set(instruments)].join(", "),
  ].filter(Boolean).join(" · ") : "";
  roll.show({ notes: [...notes], bars, beats, seconds: seconds || 8, cut: null });
  player.choose(key ? midiAddress(key) : null);
  showTime();
}

// ---- Composing

async function compose() {
  const wish = settings.read();
  const { piece } = state;
  let waiting = null;
  const job = (state.job = new AbortController());
  state.ticket = null;
  cards.clear();
  showPiece();
  state.variations = Array.from({ length: wish.variations }, () => ({ fresh: [], done: 0 }));
  state.selected = 0;
  $("message").hidden = true;
  $("result-text").textContent = "";
  report(0, "Starting…");
  setPhase("composing");
  try {
    await call("compose", [piece.key, wish.length, wish.variations, wish.seed, wish.style, wish.sampling], {
      signal: job.signal,
      onPlace: (ahead) => {
        // A place in the queue is told even where nobody waits; it is worth showing only if it lasts.
        clearTimeout(waiting);
        if (ahead) waiting = setTimeout(() => state.job === job && report(0, `Waiting: ${ahead} ahead of you`), 300);
      },
      onReport: (news) => { if (state.job === job) hear(news, wish); },
    });
    clearTimeout(waiting);
    if (state.job === job) setPhase(state.variations.some((variation) => variation.key) ? "done" : "ready");
  } catch (error) {
    clearTimeout(waiting);
    if (state.job !== job) return;
    cards.clear();
    state.variations = [];
    showPiece();
    setPhase("ready");
    complain(error);
  }
}

/** Take in one report of the server's composing. */
function hear(news, wish) {
  if (news.event === "start") begin(news, wish);
  else if (news.event === "progress") goOn(news);
  else finish(news);
}

function begin({ ticket, seed, cut, dropped_bars: dropped }, wish) {
  Object.assign(state, { ticket, seed, cut, dropped });
  const { bars, beats } = state.piece.roll;
  const bar = bars.length > 1 ? bars.at(-1) - bars.at(-2) : 2;
  const expected = cut + (wish.seconds ?? wish.bars * bar);
  roll.show({ notes: [...state.piece.notes], bars, beats, seconds: expected, cut }, { keepView: true });
  roll.viewFrom(Math.max(0, cut - (expected - cut) * 0.4), expected * 1.02);
  cards.show(state.variations, { from: cut, to: expected });
  cards.select(state.selected);
  report(0, "Reading your piece…");
  $("stop").disabled = false;
}

function goOn({ done, notes, tokens_per_second: speed, seconds_left: left }) {
  const shown = [];
  for (const [index, , drum, pitch, start, end, velocity] of notes) {
    const note = { pitch, start, end, velocity, drum, isNew: true };
    state.variations[index].fresh.push(note);
    if (index === state.selected) shown.push(note);
  }
  if (shown.length) roll.append(shown);
  state.variations.forEach((variation, index) => { variation.done = done[index]; });
  cards.update();
  const mean = done.reduce((sum, share) => sum + share, 0) / done.length;
  const wait = left === null ? "" : ` · ${left < 1.5 ? "almost done" : `about ${duration(left)} left`}`;
  if (speed > 0) report(mean, `${Math.round(speed)} tokens/s${wait}`);
}

function finish({ variations }) {
  state.variations = variations.map(({ key, name, roll: data }) => {
    const notes = notesOf(data);
    return { key, name, data, notes, fresh: notes.filter((note) => note.isNew), done: 1 };
  });
  const end = Math.max(...state.variations.map((variation) => variation.data.seconds));
  cards.show(state.variations, { from: state.cut, to: end });
  if (!player.playing) player.seek(joinStart());
  select(state.selected);
  setPhase("done");
  const text = $("result-text");
  const again = Object.assign(document.createElement("button"), { type: "button", textContent: `seed ${state.seed}` });
  again.title = "Use this seed again";
  again.addEventListener("click", () => { $("advanced").open = true; settings.seed.value = state.seed; });
  const dropped = state.dropped ? ` The first ${state.dropped} bars were too long ago for the model to see.` : "";
  text.replaceChildren("Made with ", again, ".", dropped);
}

/** Where to listen from when new music has come: two bars before it, so that the join is heard. */
function joinStart() {
  const before = state.piece.roll.bars.filter((bar) => bar < state.cut - 0.05);
  return before.at(-2) ?? before.at(-1) ?? 0;
}

function select(index) {
  state.selected = index;
  cards.select(index);
  const variation = state.variations[index];
  const { bars, beats, seconds } = variation.data ?? { ...state.piece.roll, seconds: roll.seconds };
  const notes = variation.notes ?? [...state.piece.notes, ...variation.fresh].sort((a, b) => a.start - b.start);
  roll.show({ notes, bars, beats, seconds, cut: state.cut }, { keepView: true });
  if (!variation.key) return;
  // The other variation goes on from where this one is: that is how they are compared.
  const { time, playing } = player;
  player.choose(midiAddress(variation.key), { from: time });
  if (playing) play();
  showTime();
}

async function halt() {
  if (!state.ticket) {
    // Still waiting in the queue: leaving it is enough.
    state.job?.abort();
    return;
  }
  $("stop").disabled = true;
  $("progress-text").textContent = "Stopping…";
  try { await stop(state.ticket); } catch (error) { complain(error); }
}

// ---- Playing

async function play() {
  try { await player.play(); } catch (error) { noSound(error); }
}

function noSound(error) {
  console.error(error);
  $("sound-note").textContent = "Sound could not be started; the downloads play elsewhere.";
}

function seek(seconds) {
  player.seek(seconds);
  showTime();
}

function showTime({ follow = false } = {}) {
  const total = state.variations[state.selected]?.data?.seconds ?? state.piece?.roll.seconds ?? 0;
  const time = Math.min(player.time, total || player.time);
  $("now").textContent = clock(time);
  $("total").textContent = clock(total);
  roll.moveTo(time, { follow });
  const element = $("roll");
  const bar = Math.max(roll.bars.filter((start) => start <= time + 0.01).length, 1);
  element.setAttribute("aria-valuemax", total.toFixed(1));
  element.setAttribute("aria-valuenow", time.toFixed(1));
  element.setAttribute("aria-valuetext", `bar ${bar}, ${clock(time)} of ${clock(total)}`);
}

function tick() {
  const level = player.level();
  const meter = $("meter");
  meter.setAttribute("aria-valuenow", level.toFixed(4));
  // Decibels from -48 to 0 over the width of the meter.
  meter.firstElementChild.style.width = `${Math.max(0, Math.min(100, 100 + (20 * Math.log10(level + 1e-9) * 100) / 48))}%`;
  if (player.playing) showTime({ follow: true });
  if (player.playing || level > 1e-5) requestAnimationFrame(tick);
}

player.addEventListener("change", () => {
  document.body.toggleAttribute("data-playing", player.playing);
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  showTime();
  requestAnimationFrame(tick);
});

// ---- The page's own state

function setPhase(phase) {
  state.phase = phase;
  document.body.dataset.phase = phase;
  const busy = phase === "composing";
  $("compose").hidden = busy;
  $("compose").disabled = phase === "empty" || phase === "opening";
  $("compose").textContent = state.piece && !state.piece.key ? "Compose" : phase === "done" ? "Continue again" : "Continue";
  $("stop").hidden = $("progress").hidden = !busy;
  $("stop").textContent = state.ticket ? "Stop and keep this" : "Cancel";
  $("stop").disabled = false;
  $("play").disabled = Boolean(obstacle) || !player.address;
  $("sound-note").textContent = obstacle && state.piece ? obstacle : "";
  $("roll-hint").textContent = phase === "opening" ? "Opening…"
    : phase === "ready" && !state.piece.key ? "Nothing here yet. Press Compose, and a piece appears." : "";
}

function report(share, text) {
  const bar = $("progress").querySelector(".progress-bar");
  bar.setAttribute("aria-valuenow", Math.round(share * 100));
  bar.firstElementChild.style.width = `${share * 100}%`;
  $("progress-text").textContent = text;
  $("stop").textContent = state.ticket ? "Stop and keep this" : "Cancel";
}

function complain(error) {
  if (!(error instanceof ServerError)) console.error(error);
  const text = error instanceof ServerError ? error.message : "Something went wrong on this page; reload it and try again.";
  $("message").querySelector("p").textContent = /[.!?]$/.test(text) ? text : `${text}.`;
  $("message").hidden = false;
}

const duration = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

// ---- What the visitor can do

function exampleButton({ title, character, roll: picture, isNew = false }, onClick) {
  const item = document.createElement("li");
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const text = document.createElement("div");
  text.append(Object.assign(document.createElement("b"), { textContent: title }));
  text.append(Object.assign(document.createElement("span"), { textContent: character }));
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  button.append(text, canvas);
  pictures.set(canvas, { notes: notesOf(picture).map((note) => ({ ...note, isNew })), to: picture.seconds });
  button.addEventListener("click", onClick);
  item.append(button);
  return item;
}

$("examples").append(
  ...examples.map((example) => exampleButton(example, () => open(() => openExample(example.key)))),
  exampleButton({ title: "From nothing", character: "The model invents it all", roll: examples.at(-1).roll, isNew: true }, () => open(async () => NOTHING)),
);
$("file").addEventListener("change", (event) => { openLocal(event.target.files[0]); event.target.value = ""; });
$("start-over").addEventListener("click", () => { leave(); setPhase("empty"); });
$("controls").addEventListener("submit", (event) => { event.preventDefault(); if (!$("compose").disabled) compose(); });
$("stop").addEventListener("click", halt);
$("play").addEventListener("click", () => (player.playing ? player.pause() : play()));
$("rewind").addEventListener("click", () => seek(0));
$("zoom-in").addEventListener("click", () => roll.zoomBy(1.6));
$("zoom-out").addEventListener("click", () => roll.zoomBy(1 / 1.6));
$("zoom-fit").addEventListener("click", () => roll.fit());
$("message").querySelector("button").addEventListener("click", () => { $("message").hidden = true; });

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, button, summary, a, [role=dialog]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const bars = roll.bars;
  const at = bars.findLastIndex((bar) => bar <= player.time + 0.02);
  const actions = {
    " ": () => !$("play").disabled && (player.playing ? player.pause() : play()),
    ArrowRight: () => seek(Math.min(bars[at + 1] ?? player.time, roll.seconds)),
    ArrowLeft: () => seek(bars[player.time - bars[at] > 0.5 ? at : Math.max(at - 1, 0)] ?? 0),
    Home: () => seek(0),
    "+": () => roll.zoomBy(1.6),
    "-": () => roll.zoomBy(1 / 1.6),
  };
  if (state.piece && actions[event.key]) { event.preventDefault(); actions[event.key](); }
});

let dragDepth = 0;
const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const dropping = (change) => { dragDepth = Math.max(0, dragDepth + change); document.body.toggleAttribute("data-dropping", dragDepth > 0); };
document.addEventListener("dragenter", (event) => { if (carriesFile(event)) dropping(1); });
document.addEventListener("dragleave", (event) => { if (carriesFile(event)) dropping(-1); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dropping(-dragDepth);
  openLocal(event.dataTransfer.files[0]);
});


// ---- The pictures of the empty page: the examples small, and the first of them large, turning into something new

function drawPictures() {
  if (state.phase !== "empty") return;
  for (const [canvas, { notes, to }] of pictures) drawSmall(canvas, notes, { from: 0, to });
  const { notes, to } = pictures.values().next().value;
  const melodic = notes.filter((note) => !note.drum);
  drawSmall($("art"), melodic.map((note) => ({ ...note, isNew: note.start >= to * 0.56 })), { from: 0, to });
}

setPhase("empty");
new ResizeObserver(drawPictures).observe($("welcome"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPictures);
