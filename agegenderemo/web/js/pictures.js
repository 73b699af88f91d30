// The input of Photo takes what the browser calls an image. Desktop browsers have no such name for a
// phone's HEIC and many others, so gradio refuses them: here they get one, chosen and dropped alike.
{
  const SUFFIXES = "@suffixes@".split(" ");
  const suffixOf = (name) => SUFFIXES.find((suffix) => name.toLowerCase().endsWith(suffix));
  const isInput = (event) => event.target.closest?.("#photo-input");
  const isNamed = (file) => file.type.startsWith("image/") || !suffixOf(file.name);

  function named(files) {
    const data = new DataTransfer();
    for (const file of files) {
      const type = isNamed(file) ? file.type : "image/" + suffixOf(file.name).slice(1);
      data.items.add(new File([file], file.name, { type, lastModified: file.lastModified }));
    }
    return data;
  }

  document.addEventListener(
    "drop",
    (event) => {
      const files = [...(event.dataTransfer?.files ?? [])];
      if (!isInput(event) || files.every(isNamed)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const dataTransfer = named(files);
      event.target.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    },
    { capture: true },
  );
  document.addEventListener(
    "change",
    ({ target }) => {
      const files = [...(target.files ?? [])];
      if (isInput({ target }) && !files.every(isNamed)) target.files = named(files).files;
    },
    { capture: true },
  );

  // The dialog shows the same files.
  const accept = ["image/*", ...SUFFIXES].join(",");
  const widen = () => {
    const input = document.querySelector("#photo-input input[type=file]");
    if (input && input.accept !== accept) input.accept = accept;
  };
  const watch = () => new MutationObserver(widen).observe(document.body, { childList: true, subtree: true });
  if (document.body) watch();
  else document.addEventListener("DOMContentLoaded", watch);
}
