// gradio gives the pictures of examples no name: screen readers say that of their file.
{
  const nameExamples = () => {
    for (const button of document.querySelectorAll(".gallery-item:not([aria-label])")) {
      const file = button.querySelector("img, video")?.src.split("/").pop() ?? "";
      const name = decodeURIComponent(file).replace(/\.\w+$/, "").replaceAll("-", " ");
      if (name) button.ariaLabel = "Example: " + name;
    }
  };
  const watch = () =>
    new MutationObserver(nameExamples).observe(document.body, { childList: true, subtree: true });
  if (document.body) watch();
  else document.addEventListener("DOMContentLoaded", watch);
}
