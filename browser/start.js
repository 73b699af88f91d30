// The networks begin to load before the rest of the page's modules are there.
import { Device } from "./device.js";

// A module that did not arrive leaves nobody to say so.
addEventListener("error", ({ target }) => {
  if (target.tagName !== "SCRIPT") return;
  document.getElementById("loading-bar").hidden = true;
  const words = document.getElementById("loading-words");
  words.textContent = "A part of this page did not arrive. Reload it when there is a connection.";
  words.className = "note bad";
}, true);

Device.shared(new URL("./site.json", document.baseURI).href, () => {}, true).catch(() => {}); // main.js says it
