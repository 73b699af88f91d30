// Runs before gradio does, which takes its own texts from the browser's language: a page is in one.

for (const [name, value] of Object.entries({ language: "en", languages: ["en"] })) {
  Object.defineProperty(navigator, name, { get: () => value, configurable: true });
}
document.documentElement.lang = "en";

// Some of its buttons are named by the key of a text that it has in no language.
const NAMES = { "common.upload": "Upload" };
const rename = (node) => {
  for (const attribute of ["aria-label", "title"]) {
    const name = NAMES[node.getAttribute(attribute)];
    if (name) node.setAttribute(attribute, name);
  }
};
new MutationObserver((changes) => {
  for (const { target, addedNodes } of changes) {
    if (target instanceof Element) rename(target);
    for (const node of addedNodes) node.querySelectorAll?.("button[aria-label]").forEach(rename);
  }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label", "title"] });
