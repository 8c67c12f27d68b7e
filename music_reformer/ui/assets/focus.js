// Moves the keyboard focus when the focused element disappears: a pressed button that is hidden now, the card of a
// kept variation, an opened example.

const $ = (id) => document.getElementById(id);
const isThere = (element) => element.isConnected && element.checkVisibility() && !element.matches(":disabled");

let last = null;  // the element last focused

/** Move the focus to where work continues: the piece, whose keys play, choose and keep; the tree, if it was there; or,
 *  while nothing is open, the choice of a file. An existing focus stays, and clicks elsewhere are not undone. */
function settle() {
  const active = document.activeElement;
  if (!last || (active && active !== document.body && isThere(active)) || isThere(last)) return;
  const pill = last.dataset.place === "versions" ? document.querySelector("#versions [aria-current]") : null;
  const places = document.body.dataset.phase === "empty" ? [$("file")] : [pill, $("roll"), $("engraved")];
  places.find((element) => element && isThere(element))?.focus({ preventScroll: true });
}

/** To be called after each change of which elements are enabled or visible. */
export function settleFocus() { setTimeout(settle); }

document.addEventListener("focusin", ({ target }) => {
  if (target.closest("#versions")) target.dataset.place = "versions";  // recorded now, because once removed it is no longer in the tree
  last = target;
});
document.addEventListener("click", settleFocus);
