// A message of the Photo or the Video page is read out when it comes; hints are there all the time.
import { say } from "./said.js";

new MutationObserver(() => {
  const note = element.querySelector(".note:not(.hint)");
  if (note) say(note.dataset.said ?? note.textContent);
}).observe(element, { childList: true, subtree: true, characterData: true, attributes: true });
