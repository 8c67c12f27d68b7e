// The keyboard, wherever the visitor is not typing.

const TYPING = "input, select, textarea, [role=dialog]";
const PRESSING = "button, summary, a, label";

/** `actions` maps keys to functions, which return false if the browser should handle the key itself. `first()` returns
 *  actions that currently take precedence. */
export function listenToKeys(actions, { first = () => ({}) } = {}) {
  document.addEventListener("keydown", (event) => {
    // A length or style just chosen has the focus; the space bar plays nevertheless.
    const isChoice = event.key === " " && event.target.matches("input[type=radio]");
    if (event.altKey || (event.target.closest(TYPING) && !isChoice)) return;
    const combined = event.ctrlKey || event.metaKey;
    const name = combined ? `Ctrl ${event.shiftKey ? "Shift " : ""}${event.key.toUpperCase()}` : event.key.length === 1 ? event.key.toUpperCase() : event.key;
    // Space and Enter press the button that has the focus.
    if ([" ", "Enter"].includes(event.key) && event.target.closest(PRESSING)) return;
    const action = first()[name] ?? actions[name];
    if (!action || action(event) === false) return;
    event.preventDefault();
  });
}
