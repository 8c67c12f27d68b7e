// The page: opens pieces, has them continued, plays them. Read this first. It creates the parts, connects
// them, and starts with what the address names or the browser has kept. What is open is in open-piece.js, how it is
// shown in desk.js; opening.js, composing.js and keeping.js are what a visitor does with it. The parts do not know
// each other.

import { partAddress, setup } from "./api.js";
import { Asked } from "./asked.js";
import { BlindTest } from "./blind.js";
import { Cards } from "./cards.js";
import { Choosing } from "./choosing.js";
import { Composing } from "./composing.js";
import { Desk } from "./desk.js";
import { count } from "./draw.js";
import { listenToDrops } from "./dropping.js";
import { editKeys } from "./edit-keys.js";
import { EditSaving } from "./edit-saving.js";
import { Editing } from "./editing.js";
import { EngravedView, marksOf } from "./engraved-view.js";
import { Exports } from "./exports.js";
import { settleFocus } from "./focus.js";
import { Hand } from "./hand.js";
import { Instruments } from "./instruments.js";
import { Joining } from "./joining.js";
import { Keeping } from "./keeping.js";
import { listenToKeys } from "./keyboard.js";
import { Keyboards } from "./keyboards.js";
import { linkTo, wordsOfAddress } from "./link.js";
import { Lanes } from "./lanes.js";
import { Locks } from "./locks.js";
import { Marks, markKeys } from "./marks.js";
import { Memory } from "./memory.js";
import { closeMenus } from "./menus.js";
import { complain, dismiss } from "./messages.js";
import { Metronome } from "./metronome.js";
import { MidiMenu } from "./midi-menu.js";
import { MidiOut } from "./midi-out.js";
import { MidiPorts } from "./midi-ports.js";
import { Parts } from "./parts.js";
import { OpenPiece } from "./open-piece.js";
import { Opening } from "./opening.js";
import { Pieces } from "./pieces.js";
import { Phase } from "./phase.js";
import { printScore } from "./printing.js";
import { Player } from "./player.js";
import { Recording } from "./recording.js";
import { Roll } from "./roll.js";
import { EMPTY } from "./score.js";
import { Settings } from "./settings.js";
import { Studying } from "./studying.js";
import { Synthesizer } from "./synthesizer.js";
import { Tracks } from "./tracks.js";
import { Transport } from "./transport.js";
import { Versions } from "./versions.js";
import { Views } from "./views.js";
import { Welcome } from "./welcome.js";
import { barsFromTo, namesOf } from "./wording.js";

const $ = (id) => document.getElementById(id);

const offer = await setup().catch((error) => { complain(error); throw error; });

// ---- The parts

const sound = new Synthesizer();
const metronome = new Metronome({ sound });
const player = new Player({ sound, outputs: [metronome] });
const roll = new Roll({
  element: $("roll"), overview: $("overview"), handle: $("cut"), untilHandle: $("until"),
  onSeek: (seconds) => { transport.seek(seconds); editing.pointAt(seconds); },
  onCut: (cut) => desk.want({ ...piece.wanted, cut }), onUntil: (until) => desk.want({ ...piece.wanted, until }),
});
const engraved = new EngravedView({
  shown: () => ({ ...exported(), marks: marksOf(piece) }), onSeek: (seconds) => transport.seek(seconds), onPrint: printed,
});
const views = new Views({ stage: $("stage"), roll, engraved });
const transport = new Transport({
  player, views, metronome, obstacle: Synthesizer.obstacle({ hasSound: offer.has_sound }), newMusic: () => piece.newMusic, marked: () => marks.seconds,
});
const tracks = new Tracks({
  element: $("tracks"), instruments: offer.instruments, onSilence: (places) => desk.silence(places), onMix: (mix) => { player.mix = mix; },
  onChoose: (place) => marks.toggleTrack(place), file: (indices) => partOf({ tracks: indices }),
});
const cards = new Cards({ element: $("variations"), onSelect: (index) => desk.select(index), onKeep: (index) => keeping.keep(index) });
const versions = new Versions({ element: $("versions"), onGo: goTo, onName: () => phase.refresh() });
const parts = new Parts({ form: $("controls") });
const instruments = new Instruments({
  element: $("instruments"), adder: $("add-instrument"), hint: $("instruments-hint"), names: offer.instruments, most: offer.limits.instruments,
  onShow: (score) => parts.show(score),
});
const piece = new OpenPiece({ versions, canInfill: offer.can_infill });
const asked = new Asked({
  controls: $("controls"), piece, canAsk: offer.can_be_steered, marked: () => marks.bars, onChange: ({ isNew }) => { lanes.follow(); if (isNew) remember(); },
});
const settings = new Settings({ ...offer, form: $("controls"), asked, instruments, parts });
const memory = new Memory({ keptDays: offer.kept_days });
const studying = new Studying({ piece });
const phase = new Phase({
  piece, transport,
  onChange: (can) => { editing.follow(can); marks.follow(); recording.follow(); choosing.follow(); settleFocus(); },
  onSettled: () => { remember(); studying.follow(); },
});
const desk = new Desk({ piece, parts: { roll, engraved, views, transport, player, tracks, cards, instruments, phase }, onSeed: useSeed });
const locks = roll.locks = new Locks({ piece, roll, onChange: () => remember() });
const composing = new Composing({ piece, desk, settings, parts, locks, studying, instruments: offer.instruments, keep: (index) => keeping.keep(index) });
const keeping = new Keeping({ piece, desk, player, composing });
const joining = new Joining({ element: $("joiner"), piece, desk });
const blind = new BlindTest({ element: $("blind"), piece, desk, transport });
const choosing = new Choosing({ element: $("choosing"), piece, joining, blind });
const saving = new EditSaving({ piece, desk });
const editing = new Editing({
  piece, desk, roll, player, saving, locks, keep: (index) => keeping.keep(index), file: partOf,
  sound: (note) => { if (!transport.obstacle) player.preview(note).catch(console.error); },
});
roll.hand = new Hand({ roll, editing });
const marks = roll.marks = new Marks({ piece, desk, roll, tracks, player, compose: (order) => composing.compose(order), file: partOf });
const lanes = new Lanes({ element: $("lanes"), button: $("lanes-switch"), roll, piece, asked, onGo: (seconds) => transport.seek(seconds) });
const pieces = new Pieces({ element: $("pieces"), memory, session: () => ({ ...session(), id: memory.id }), onGo: changePiece });
const opening = new Opening({ piece, desk, composing, settings, asked, locks, memory, pieces, limits: offer.limits });
const welcome = new Welcome({
  element: $("welcome"), list: $("examples"), art: $("art"), examples: offer.examples,
  onExample: (key) => opening.example(key), onNothing: () => opening.emptyPiece(),
});
const keyboards = new Keyboards({ player });
const midiMenu = new MidiMenu({ ports: new MidiPorts(), player, out: new MidiOut({ sound }), sound, keyboards });
const recording = new Recording({
  piece, desk, editing, keyboards, metronome, player, saving, settings,
  keep: (index) => keeping.keep(index), open: (file) => opening.files([file]), onNoKeyboard: () => midiMenu.askForKeyboard(),
});
new Exports({
  menu: $("export"), status: $("export-status"), keptDays: offer.kept_days, shown: exported,
  link: () => linkTo(piece, settings, locks), onLinkInAddress: showLink, onPrint: printed, onError: complain,
});

/** What the export menu exports: the variation on show, or the version. */
function exported() {
  const { variation, version, score } = piece;
  return {
    key: variation ? variation.key : version?.key, name: variation?.name ?? version?.file ?? version?.name ?? "piece", title: version?.name,
    score: player.asMixed(score), silent: player.silent, span: piece.span, part: marks.bars && partOf(marks.bars),
  };
}

/** Bars, tracks and single notes of what is on show as a file {name, address}; null: the server does not have it yet. */
function partOf({ cut = 0, until = null, tracks = [], notes = [] }) {
  const { variation, version, score } = piece;
  const { key, name } = variation ?? { key: version?.key, name: version?.file ?? version?.name };
  if (!key || piece.isSaving) return null;
  const which = [
    ...namesOf(score, tracks), ...(notes.length ? [count(notes.length, "note")] : []),
    ...(until === null ? [] : [barsFromTo(cut, until).replace(" to ", "-")]),
  ];
  return { name: `${name} - ${which.join(", ")}.mid`, address: partAddress(key, { cut, until, tracks, notes }) };
}

function printed(onProgress) { return printScore(exported(), onProgress); }

/** Put a link to what is open into the address bar. A reload restores what is open, and does not follow the link. */
function showLink(link) {
  history.replaceState(null, "", link);
  memory.noteLink();
}

/** The session to keep: what is open, the requests for new bars, and the locked notes. */
function session() { return { ...versions.whole, asked: asked.whole, locks: locks.whole }; }

/** Keep what is open in this browser. */
function remember() {
  if (["ready", "done"].includes(phase.name)) memory.save(session());
}

function useSeed(seed) {
  $("advanced").open = true;
  settings.seed.value = seed;
}

// ---- What the visitor can do

/** Show another open piece, once the server has all edits of this one. */
async function changePiece(session) {
  if (piece.isSaving) await saving.settled();
  if (await opening.resume(session, { isOwn: true })) pieces.return(session);
}

async function startOver() {
  pieces.clear();
  const remembered = opening.leave();
  history.replaceState(null, "", location.pathname);
  phase.enter("empty");
  welcome.draw();
  await remembered;
  offerToContinue((await memory.find()).former);
}

/** Show another version, once the server has all edits of this one. */
async function goTo(version) {
  if (piece.isSaving) await saving.settled();
  keeping.go(version);
}

async function undo() {
  await saving.settled();
  versions.undo();
}

async function redo() {
  await saving.settled();
  versions.redo();
}

$("file").addEventListener("change", (event) => { opening.files([...event.target.files]); event.target.value = ""; });
$("start-over").addEventListener("click", startOver);
$("controls").addEventListener("submit", (event) => { event.preventDefault(); if (!$("compose").disabled) composing.compose(); });
$("rewrite").addEventListener("click", () => { if ($("rewrite-bars").reportValidity()) composing.compose({ rewrite: Number($("rewrite-bars").value) }); });
$("stop").addEventListener("click", () => composing.halt());
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);
$("message").querySelector("button").addEventListener("click", dismiss);
addEventListener("hashchange", () => opening.follow(wordsOfAddress()));
listenToDrops((files) => opening.files(files));
$("own-bars").addEventListener("click", () => opening.ownBars());

const whenOpen = (action) => () => (piece.version ? action() : false);
listenToKeys({
  " ": whenOpen(() => { transport.toggle(); }),
  ArrowRight: whenOpen(() => transport.step(1)),
  ArrowLeft: whenOpen(() => transport.step(-1)),
  Home: whenOpen(() => transport.seek(0)),
  L: whenOpen(() => transport.loop()),
  R: whenOpen(() => recording.toggle()),
  C: whenOpen(() => transport.metronome.toggle()),
  I: whenOpen(() => transport.countIn.toggle()),
  K: whenOpen(() => piece.variation !== null && !piece.composition && keeping.keep(piece.version.selected)),
  Escape: () => (closeMenus() || !piece.version ? undefined : composing.halt()),
  S: (event) => whenOpen(() => views.toggle({ roll: event.shiftKey }))(),
  F: whenOpen(() => views.follow()),
  E: whenOpen(() => { editing.switch(); }),
  H: whenOpen(() => lanes.toggle()),
  "+": whenOpen(() => views.current.zoomBy(1.6)),
  "-": whenOpen(() => views.current.zoomBy(1 / 1.6)),
  "Ctrl Z": whenOpen(() => { undo(); }),
  "Ctrl Shift Z": whenOpen(() => { redo(); }),
  ...Object.fromEntries(Array.from({ length: 8 }, (_, index) => [String(index + 1), whenOpen(() => desk.select(index))])),
}, { first: () => (blind.isOn ? blind.keys : editing.isOn ? editKeys(editing) : markKeys(marks)) });

// ---- Starting

function offerToContinue(former) { welcome.offer(former, (session) => opening.resume(session)); }

instruments.show(EMPTY);
phase.enter("empty");
const words = wordsOfAddress();
const followsLink = !memory.isReload && opening.follow(words);
const { open, former } = await memory.find();
offerToContinue(former);
if (phase.name === "empty" && !followsLink) {  // unless the visitor was faster
  if (open) opening.resume(open, { isOwn: true }).then((isOpen) => { if (isOpen) pieces.restore(former); });
  else if (!opening.follow(words) && words.size) settings.apply(words);
}
