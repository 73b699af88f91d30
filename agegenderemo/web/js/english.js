// Runs before gradio does, which takes its own texts from the browser's language: a page is in one.

for (const [name, value] of Object.entries({ language: "en", languages: ["en"] })) {
  Object.defineProperty(navigator, name, { get: () => value, configurable: true });
}
document.documentElement.lang = "en";
