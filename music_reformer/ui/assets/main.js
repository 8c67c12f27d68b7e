// The page: opens pieces, has them continued, plays them. Read this first; the other modules know nothing of each other.
// `versions` holds what is kept. A version is {key, name, label, source, score}; its `run` is what was last composed from
// it, `selected` the variation on show (null: the version itself), `wanted` the bars {cut, until} between which the
// visitor wants new music (until null: to the end). A run has been asked for its own, `cutBar` and `untilBar`.

import { ServerError, openExample, openFile, openKept, setup } from "./api.js";
import { Cards } from "./cards.js";
import { Composition } from "./composition.js";
import { clock, count } from "./draw.js";
import { listenToDrops } from "./dropping.js";
import { Exports } from "./exports.js";
import { Instruments } from "./instruments.js";
import { listenToKeys } from "./keyboard.js";
import { Memory } from "./memory.js";
import { Player } from "./player.js";
import { Roll } from "./roll.js";
import { EMPTY, scoreOf, wholeBars } from "./score.js";
import { Settings } from "./settings.js";
import { Tracks } from "./tracks.js";
import { Transport } from "./transport.js";
import { Versions } from "./versions.js";
import { Welcome } from "./welcome.js";

const $ = (id) => document.getElementById(id);

const offer = await setup();
const obstacle = Player.obstacle({ hasSound: offer.has_sound });
const player = new Player();
const roll = new Roll({
  element: $("roll"), overview: $("overview"), handle: $("cut"), untilHandle: $("until"),
  onSeek: (seconds) => transport.seek(seconds), onCut: (bar) => want({ ...wanted(), cut: bar }), onUntil: (bar) => want({ ...wanted(), until: bar }),
});
const transport = new Transport({ player, roll, obstacle });
const tracks = new Tracks({ element: $("tracks"), instruments: offer.instruments, onSilence: silence });
const cards = new Cards({ element: $("variations"), onSelect: select, onKeep: keep });
const memory = new Memory();
const versions = new Versions({ element: $("versions"), onGo: go });
const instruments = new Instruments({
  element: $("instruments"), adder: $("add-instrument"), hint: $("instruments-hint"), names: offer.instruments, most: offer.limits.instruments,
});
const settings = new Settings({ ...offer, form: $("controls"), instruments });
new Exports({ menu: $("export"), status: $("export-status"), shown: exported, link, onError: complain });

// phase: empty (nothing open), opening, ready, composing, done
// former: the run and selection of the version before what is being composed
const state = { phase: "empty", attempt: null, composition: null, former: null, keeping: false };

const version = () => versions.current;
const variation = () => version()?.run?.variations[version().selected] ?? null;
const shownScore = () => variation()?.score ?? version()?.score ?? EMPTY;
const isNothing = () => version() !== null && !version().key;

// ---- Opening a piece

/** Have `plant` show what `fetch` brings, with nothing of the piece before in view. If nothing comes, that stays as it is. */
async function arriveAt(fetch, plant) {
  $("message").hidden = true;
  setPhase("opening");
  const attempt = (state.attempt = Symbol());
  try {
    const piece = await fetch();
    if (state.attempt !== attempt) return;
    leave();
    plant(piece);
    transport.prepare();
  } catch (error) {
    if (state.attempt !== attempt) return;
    setPhase(state.composition ? "composing" : !version() ? "empty" : version().run ? "done" : "ready");
    complain(error);
  }
}

const open = (fetchPiece, { source = "", words = null } = {}) => arriveAt(fetchPiece, (piece) => {
  const score = piece.roll ? scoreOf(piece.roll) : EMPTY;
  versions.plant({ key: piece.key, name: piece.name, label: piece.key ? "Opened" : "Nothing", source, score, selected: null });
  instruments.show(score);
  if (words) settings.apply(words);
  const bars = (name) => (/^\d+$/.test(words?.get(name) ?? "") ? Number(words.get(name)) : null);  // "-1" and none are "all"
  if (bars("cut_bar") !== null) want({ cut: bars("cut_bar"), until: bars("until_bar") });
  show();
  setPhase("ready");
  announce(piece.key ? `Opened ${piece.name}, ${$("piece-facts").textContent}` : "An empty piece");
});

function openLocal(file) {
  if (!file) return;
  if (file.size > offer.limits.bytes) {
    complain(new ServerError(`This file is ${(file.size / 1e6).toFixed(1)} MB; the largest that can be opened is ${offer.limits.bytes / 1e6} MB.`));
    return;
  }
  open(() => openFile(file));
}

const example = (key, words) => open(() => openExample(key), { source: `example:${key}`, words });
const nothing = (words) => open(async () => ({ key: "", name: "From nothing" }), { source: "nothing", words });

/** Go on with versions that this browser has kept, if the server still has them. */
const goOn = (session) => arriveAt(async () => session.current.key && openKept(session.current.key), () => {
  versions.restore(session);
  arrive({});
  announce(`Went on with ${version().name}`);
});

/** Forget the piece, its variations and what is being composed. */
function leave() {
  memory.close();
  forgetComposition();
  state.attempt = null;
  player.pause();
  player.choose(EMPTY, { from: 0 });
  versions.clear();
  cards.clear();
  tracks.clear();
  instruments.show(EMPTY);
  roll.show(EMPTY);
  roll.setCut(null);
  $("message").hidden = true;
  $("result-text").textContent = $("piece-name").textContent = $("piece-facts").textContent = "";
}

// ---- Showing what there is

/** Bring roll, tracks, player and cards in line with the current version and the variation on show. */
function show({ keepView = false, from = null } = {}) {
  const score = shownScore();
  tracks.show(score);
  roll.show(score, { keepView });
  player.choose(score, { from: keepView ? from : from ?? 0, frontier: variation()?.frontier ?? Infinity });
  $("piece-name").textContent = version().name;
  showFacts();
  showCut();
  transport.show();
  $("undo").disabled = !versions.canUndo;
  $("redo").disabled = !versions.canRedo;
}

function showFacts() {
  const { score } = version();
  if (!version().key) { $("piece-facts").textContent = ""; return; }
  const { tempos, metres, seconds } = score;
  $("piece-facts").textContent = [
    count(wholeBars(score), "bar"), clock(seconds), `${metres[0][1]}/${metres[0][2]}`,
    `${Math.round(tempos[0]?.[1] ?? 120)} bpm`,
  ].join(" · ");
}

/** The bars of what is on show between which new music is wanted. */
function wanted() {
  const here = variation() ? version().run : version();
  return here.wanted ?? (variation() ? { cut: here.cutBar, until: here.untilBar } : { cut: wholeBars(here.score), until: null });
}

function want({ cut, until }) {
  if (state.composition) return;
  const end = wholeBars(shownScore());
  cut = Math.min(cut, end);
  if (until !== null) until = Math.max(until, cut + 1);
  if (!offer.can_infill || until >= end) until = null;
  (variation() ? version().run : version()).wanted = { cut, until };
  showCut();
  setPhase(state.phase);
}

/** Whether what is wanted is what the run of the variation on show was asked for. */
function isAsRun() {
  const { cut, until } = wanted();
  return variation() !== null && cut === version().run.cutBar && until === version().run.untilBar;
}

const barsFromTo = (from, to) => (from + 1 === to ? `bar ${to}` : `bars ${from + 1} to ${to}`);

function showCut() {
  const score = shownScore();
  $("cut-note").textContent = "";
  $("length").disabled = false;
  if (!score.notes.length || (isNothing() && !variation())) return roll.setCut(null);
  const { cut, until } = wanted();
  const end = wholeBars(score);
  const leavesOut = !isAsRun() && cut < end;
  const label = isAsRun() ? (cut === 0 || until !== null ? "New" : `New from bar ${cut + 1}`)
    : cut >= end ? "Continue here" : until !== null ? "Compose anew" : `Continue from bar ${cut + 1}`;
  roll.setCut(cut, {
    label, veil: leavesOut, movable: !state.composition,
    until: offer.can_infill && (leavesOut || until !== null) ? until ?? end : null,
    untilLabel: until === null ? "to the end" : `Keep from bar ${until + 1}`,
  });
  $("length").disabled = until !== null;
  if (!leavesOut) return;
  $("cut-note").textContent = until !== null
    ? "What comes before and behind is kept in mind, and instruments that are not chosen keep what they play."
    : `The new music replaces ${barsFromTo(cut, end)}.${offer.can_infill ? " Move the second handle to keep what comes later." : ""}`;
}

/** Tracks (a set of places) that are not to be heard. */
function silence(places) {
  player.silence(places);
  roll.silent = places;
  roll.redrawAll();
}

/** Choose a variation, or with the one on show, the piece without it. */
function select(index) {
  const { run, selected } = version();
  if (!run?.variations[index]) return;
  version().selected = index === selected && !state.composition ? null : index;
  cards.select(version().selected);
  show({ keepView: true });
  setPhase(state.phase);
}

// ---- Composing

async function compose({ rewrite = null } = {}) {
  if (state.composition || state.keeping || !$("controls").reportValidity()) return;
  const order = settings.read({ fromNothing: isNothing() });
  let { cut: cutBar, until: untilBar } = wanted();
  // New music that is to begin or to end inside a variation, or to replace its end, makes that variation the piece first.
  if (variation() && (rewrite || cutBar > version().run.cutBar || (untilBar !== null && !isAsRun()))) {
    if (!await keep(version().selected)) return;
  }
  if (rewrite) {
    cutBar = Math.max(0, wholeBars(version().score) - rewrite);
    untilBar = null;
    order.length = `${rewrite}bars`;
  }
  state.former = { run: version().run, selected: version().selected };
  version().selected = null;
  if (!isNothing()) {
    Object.assign(order, { piece: version().key, cut_bar: cutBar === wholeBars(version().score) ? -1 : cutBar, until_bar: untilBar ?? -1 });
  }
  const composition = new Composition({
    version: version(), order, cutBar, untilBar, instruments: offer.instruments, onStart: begin, onGrowth: grow, onProgress: report,
  });
  state.composition = composition;
  version().run = null;
  cards.clear();
  $("message").hidden = true;
  $("result-text").textContent = "";
  show({ keepView: true });
  report(0, "Starting…");
  setPhase("composing");
  try {
    const run = await composition.compose();
    if (state.composition !== composition) return;
    if (run) {
      state.composition = null;
      finish(run);
    } else giveUp();
  } catch (error) {
    if (state.composition !== composition) return;
    giveUp();
    complain(error);
  }
}

/** Nothing came of what was being composed: what was there before it is there again. */
function giveUp() {
  forgetComposition();
  arrive({ keepView: true });
}

function forgetComposition() {
  if (!state.composition) return;
  state.composition.leave();
  state.composition = null;
  Object.assign(version(), state.former);
}

function begin(run) {
  Object.assign(version(), { run, selected: 0 });
  cards.show(run.variations, { from: run.cut, to: run.end });
  cards.select(0);
  show({ keepView: true, from: player.playing ? null : joinStart(run.cut) });
  const around = (run.end - run.cut) * 0.4;
  roll.viewFrom(Math.max(0, run.cut - around), run.until === null ? run.end * 1.02 : run.end + around);
  setPhase("composing");
  $("cut-note").textContent = droppedBars(run);
}

/** No silent truncation: what the model does not see of a very long piece. */
function droppedBars({ dropped, until }) {
  const which = until === null ? `the first ${count(dropped, "bar")}` : `${count(dropped, "bar")} far from the new ones`;
  return dropped ? `The piece is longer than the model can hold: it does not see ${which}.` : "";
}

function grow() {
  roll.grow();
  tracks.show(shownScore());
  player.grow(variation().frontier);
  cards.update();
  transport.show();
}

function finish(run) {
  showCards(run);
  cards.select(version().selected);
  show({ keepView: true });
  setPhase("done");
  announce(`${count(run.variations.length, "variation")} ready`);
  showResult(run);
}

function showCards(run) {
  cards.show(run.variations, { from: run.cut, to: run.until ?? Math.max(...run.variations.map(({ score }) => score.seconds)) });
}

function showResult(run) {
  const text = $("result-text");
  if (!run?.finished) return text.replaceChildren();
  const again = Object.assign(document.createElement("button"), { type: "button", textContent: `seed ${run.seed}` });
  again.title = "Use this seed again";
  again.addEventListener("click", () => { $("advanced").open = true; settings.seed.value = run.seed; });
  text.replaceChildren("Made with ", again, `. ${droppedBars(run)} ${losses(run)}`);
}

/** Nor a silent loss: files that nothing can be spliced into are written anew, with their music only. */
function losses({ variations }) {
  return variations.some(({ lossy }) => lossy)
    ? "The original could not be kept event for event: text and system messages in it are not in the files."
    : "";
}

/** Where to listen from when new music comes: two bars before it, so that the join is heard. */
function joinStart(cut) {
  const before = version().score.bars.filter((bar) => bar < cut - 0.05);
  return before.at(-2) ?? before.at(-1) ?? 0;
}

async function halt() {
  const { composition } = state;
  if (!composition) return;
  if (!composition.started) {
    // Still waiting in the queue: leaving it is enough.
    composition.leave();
    return;
  }
  $("stop").disabled = true;
  $("progress-text").textContent = "Stopping…";
  try { await composition.stop(); } catch (error) { complain(error); }
}

// ---- Keeping, going back

/** Make a variation the piece. Resolves to whether it worked. */
async function keep(index) {
  const { run, score } = version();
  const chosen = run?.variations[index];
  if (!chosen?.key) return false;
  const here = version();
  here.selected = index;
  const { wanted: next } = run;
  state.keeping = true;
  try {
    const piece = await openKept(chosen.key);
    if (version() !== here) return false;
    const keptScore = scoreOf(piece.roll);
    const bars = Math.max(wholeBars(keptScore) - run.cutBar, 0);
    const label = run.cutBar < wholeBars(score) ? `Bars ${run.cutBar + 1}-${run.untilBar ?? run.cutBar + bars}` : here.key ? `+ ${count(bars, "bar")}` : "Composed";
    const kept = versions.grow({ key: piece.key, name: here.key ? here.name : "New piece", label, source: "", score: keptScore, selected: null });
    if (next && (next.cut > run.cutBar || next.until !== null)) kept.wanted = next;
    delete run.wanted;
    arrive({ from: player.time });
    announce("Kept");
    return true;
  } catch (error) {
    complain(error);
    return false;
  } finally {
    state.keeping = false;
  }
}

/** Show another version, as it was left. */
function go(target) {
  forgetComposition();
  versions.go(target);
  arrive({ from: Math.min(player.time, target.score.seconds) });
}

/** Show the current version and what was composed from it. */
function arrive({ from = null, keepView = false }) {
  const { run, selected, score } = version();
  if (run) showCards(run);
  else cards.clear();
  cards.select(selected);
  const programs = instruments.read();
  instruments.show(score);
  if (programs.length) instruments.choose(programs);
  const wasPlaying = player.playing;
  show({ from, keepView });
  if (wasPlaying && !player.canPlay) player.pause();
  showResult(run);
  setPhase(run ? "done" : "ready");
}

// ---- The page's own state

function setPhase(phase) {
  state.phase = phase;
  document.body.dataset.phase = phase;
  const busy = phase === "composing";
  const closed = phase === "empty" || phase === "opening";
  $("compose").hidden = busy;
  $("compose").disabled = closed;
  $("compose").textContent = closed ? "Continue" : wish();
  $("rewrite-row").hidden = busy || closed || !shownScore().notes.length;
  $("rewrite").disabled = busy || closed;
  $("blank-settings").hidden = !isNothing();
  $("stop").hidden = $("progress").hidden = !busy;
  $("stop").textContent = state.composition?.started ? "Stop and keep this" : "Cancel";
  $("stop").disabled = false;
  transport.say(obstacle && version() ? obstacle : "");
  transport.show();
  $("roll-hint").textContent = phase === "opening" ? "Opening…"
    : phase === "ready" && isNothing() ? "Nothing here yet. Press Compose, and a piece appears." : "";
  if (phase === "ready" || phase === "done") memory.save(versions.whole);
}

/** What the large button does, in the visitor's words. */
function wish() {
  const { cut, until } = wanted();
  if (isAsRun()) return "Try again";
  if (isNothing() && !variation()) return "Compose";
  if (until !== null) return `Compose ${barsFromTo(cut, until)} anew`;
  return cut >= wholeBars(shownScore()) ? "Continue" : `Continue from bar ${cut + 1}`;
}

function report(share, text) {
  const bar = $("progress").querySelector(".progress-bar");
  bar.setAttribute("aria-valuenow", Math.round(share * 100));
  bar.firstElementChild.style.width = `${share * 100}%`;
  $("progress-text").textContent = text;
}

function complain(error) {
  if (!(error instanceof ServerError)) console.error(error);
  const text = error instanceof ServerError ? error.message : "Something went wrong on this page; reload it and try again.";
  $("message").querySelector("p").textContent = /[.!?]$/.test(text) ? text : `${text}.`;
  $("message").hidden = false;
}

function announce(text) { $("announcement").textContent = text; }

/** What the export menu is about. */
function exported() {
  const chosen = variation();
  const run = version()?.run;
  return {
    key: chosen ? chosen.key : version()?.key, name: chosen?.name ?? version()?.name ?? "piece", score: shownScore(),
    silent: player.silent, span: chosen?.key ? { since: run.cutTick, until: run.untilTick, programs: run.missing } : null,
  };
}

/** The address that brings back these settings, and the seed of what is on show. */
function link() {
  const run = version()?.run;
  const order = run ? { ...run.order, seed: run.seed } : settings.read({ fromNothing: isNothing() });
  if (!run && version()?.wanted && !isNothing()) Object.assign(order, { cut_bar: version().wanted.cut, until_bar: version().wanted.until ?? -1 });
  // An upload is named by its key: who has the link has the file, as long as the server keeps it.
  const source = version()?.source || (version()?.key ? `kept:${version().key}` : "");
  return `${location.origin}${location.pathname}#${Settings.toLink(order, source)}`;
}

// ---- What the visitor can do

const welcome = new Welcome({
  element: $("welcome"), list: $("examples"), art: $("art"), examples: offer.examples, onExample: (key) => example(key), onNothing: () => nothing(),
});
$("file").addEventListener("change", (event) => { openLocal(event.target.files[0]); event.target.value = ""; });
$("start-over").addEventListener("click", () => { leave(); setPhase("empty"); welcome.draw(); });
$("controls").addEventListener("submit", (event) => { event.preventDefault(); if (!$("compose").disabled && !state.composition) compose(); });
$("rewrite").addEventListener("click", () => { if ($("rewrite-bars").reportValidity()) compose({ rewrite: Number($("rewrite-bars").value) }); });
$("stop").addEventListener("click", halt);
$("undo").addEventListener("click", () => versions.undo());
$("redo").addEventListener("click", () => versions.redo());
$("message").querySelector("button").addEventListener("click", () => { $("message").hidden = true; });
document.addEventListener("click", (event) => closeMenus(event.target));

/** Close the open menus, but for one that holds `inside`. Returns whether there were any. */
function closeMenus(inside = null) {
  const menus = [...document.querySelectorAll("details.menu[open]")].filter((menu) => !menu.contains(inside));
  for (const menu of menus) menu.open = false;
  return menus.length > 0;
}

const whenOpen = (action) => () => (version() ? action() : false);
listenToKeys({
  " ": whenOpen(() => { transport.toggle(); }),
  ArrowRight: whenOpen(() => transport.step(1)),
  ArrowLeft: whenOpen(() => transport.step(-1)),
  Home: whenOpen(() => transport.seek(0)),
  K: whenOpen(() => version().selected !== null && !state.composition && keep(version().selected)),
  Escape: () => (closeMenus() || !version() ? undefined : halt()),
  "+": whenOpen(() => roll.zoomBy(1.6)),
  "-": whenOpen(() => roll.zoomBy(1 / 1.6)),
  "Ctrl Z": whenOpen(() => versions.undo()),
  "Ctrl Shift Z": whenOpen(() => versions.redo()),
  ...Object.fromEntries(Array.from({ length: 8 }, (_, index) => [String(index + 1), whenOpen(() => select(index))])),
});

listenToDrops(openLocal);

instruments.show(EMPTY);
setPhase("empty");
const words = new URLSearchParams(location.hash.slice(1));
const source = words.get("piece") ?? "";
if (source === "nothing") nothing(words);
else if (source.startsWith("example:")) example(source.slice(8), words);
else if (source.startsWith("kept:")) open(() => openKept(source.slice(5)), { words });
else {
  if (words.size) settings.apply(words);
  const { session, isOpen } = await memory.find();
  const isFree = state.phase === "empty";  // unless the visitor was faster
  if (isFree && isOpen) goOn(session);
  else if (isFree && session) {
    const { list, current } = session;
    const character = `Go on where you were${list.length > 1 ? ` · ${count(list.length, "version")}` : ""}`;
    welcome.offer({ title: current.name, character, score: current.score }, () => goOn(session));
  }
}
