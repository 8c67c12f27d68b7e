// Dragging music out of the page, to the desktop or into another program.

/** Let an element be dragged out as the file {name, address} that `file()` returns at that moment (null: not at all): as a
 *  file in Chromium, elsewhere as its address. */
export function letDragOut(element, file) {
  element.draggable = true;
  element.addEventListener("dragstart", (event) => {
    const dragged = file();
    if (!dragged) {
      event.preventDefault();
      return;
    }
    const address = new URL(dragged.address, document.baseURI).href;
    event.dataTransfer.effectAllowed = "copy";
    event.dataTransfer.setData("DownloadURL", `audio/midi:${dragged.name.replaceAll(":", " ")}:${address}`);
    event.dataTransfer.setData("text/uri-list", address);
  });
}
