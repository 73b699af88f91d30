// What screen readers are told: one place for the whole page, which is there before it speaks.

const SHOWN = 6000; // ms that a sentence stands which is shown as well
let telling = null;
let hiding = null;

export function say(text, shown = false) {
  const place = document.getElementById("said");
  if (!place) return;
  // Emptied first, so that the same sentence is said again.
  place.textContent = "";
  clearTimeout(telling);
  clearTimeout(hiding);
  telling = setTimeout(() => {
    place.textContent = text;
    place.classList.toggle("shown", shown);
  }, 100);
  if (shown) hiding = setTimeout(() => place.classList.remove("shown"), SHOWN);
}

const CALM = 1000; // ms that people stay the same before they are told of

// Tells of people when one goes, or one comes whose answers have settled: not at every frame.
export class Arrivals {
  told = "";
  seen = "";
  since = 0;

  // Whether to tell of the faces now, which are settled ones.
  news(faces, now) {
    const seen = faces.map(({ track_id }) => track_id).sort().join();
    if (seen !== this.seen) [this.seen, this.since] = [seen, now];
    if (seen === this.told || now - this.since < CALM) return false;
    this.told = seen;
    return faces.length > 0; // that nobody is there is said by the page itself
  }
}
