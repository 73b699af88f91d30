// A picture that is pasted goes to the Photo page, whatever is shown and has the focus.
import { say } from "./said.js";

const PLACE = "#photo-input input[type=file]";
const WAIT = 50; // ms between two looks for the input, which is there once its page was shown
const LOOKS = 100;

const writing = (target) =>
  target?.closest?.('textarea, [contenteditable=""], [contenteditable="true"], input:not([type=checkbox], [type=file])');

async function give(file) {
  document.querySelector('#pages [role="tab"][data-tab-id="photo"]').click();
  if (location.hash !== "#photo") history.pushState(null, "", "#photo");
  for (let look = 0; look < LOOKS; look++) {
    const input = document.querySelector(PLACE);
    if (input) {
      const files = new DataTransfer();
      files.items.add(file);
      input.files = files.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      return;
    }
    // Its camera is shown in place of the input.
    document.querySelector('#photo-input button[aria-label="Upload file"]')?.click();
    await new Promise((done) => setTimeout(done, WAIT));
  }
}

document.addEventListener("paste", (event) => {
  if (writing(event.target)) return;
  event.preventDefault();
  // The system names no type for kinds that it does not know: the server looks at those.
  const file = [...event.clipboardData.files].find(({ type }) => !type || type.startsWith("image/"));
  if (file) give(file);
  else say("What you pasted is no picture. Copy a picture, then paste it here.", true);
});
