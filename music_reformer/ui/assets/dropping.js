// Files dropped anywhere on the page.

/** `onFiles(files)` receives dropped files. */
export function listenToDrops(onFiles) {
  let depth = 0;
  const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const change = (by) => { depth = Math.max(0, depth + by); document.body.toggleAttribute("data-dropping", depth > 0); };
  document.addEventListener("dragenter", (event) => { if (carriesFile(event)) change(1); });
  document.addEventListener("dragleave", (event) => { if (carriesFile(event)) change(-1); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    change(-depth);
    onFiles([...event.dataTransfer.files]);
  });
}
