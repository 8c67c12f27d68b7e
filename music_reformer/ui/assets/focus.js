// Where the focus of the keyboard goes when what had it is gone: a button that was pressed and is hidden now, the card of a
// variation that was kept, an example that was opened.

const $ = (id) => document.getElementById(id);
const isThere = (element) => element.isConnected && element.checkVisibility() && !element.matches(":disabled");

let last = null;  // what had the focus last

/** Have the focus go on where work goes on: in the piece, whose keys play, choose and keep; in the tree, if it was there; or
 *  while nothing is open, at the choice of a file. What still has it keeps it, and nobody's click elsewhere is undone. */
function settle() {
  const active = document.activeElement;
  if (!last || (active && active !== document.body && isThere(active)) || isThere(last)) return;
  const pill = last.dataset.place === "versions" ? document.querySelector("#versions [aria-current]") : null;
  const places = document.body.dataset.phase === "empty" ? [$("file")] : [pill, $("roll"), $("engraved")];
  places.find((element) => element && isThere(element))?.focus({ preventScroll: true });
}

/** Call this after each change of what can be used. */
export function settleFocus() { setTimeout(settle); }

document.addEventListener("focusin", ({ target }) => {
  if (target.closest("#versions")) target.dataset.place = "versions";  // it is no longer in the tree when it is gone
  last = target;
});
document.addEventListener("click", settleFocus);
