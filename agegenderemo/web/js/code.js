// The page of lines to copy: they name this server as its visitor does.

const PRINTED = "http://127.0.0.1:7860/";

for (const lines of element.querySelectorAll(".code-lines")) {
  const code = lines.querySelector("code");
  code.textContent = code.textContent.replaceAll(PRINTED, new URL("./", location.href).href);
  const copy = lines.querySelector("button");
  copy.hidden = !navigator.clipboard; // browsers have it for https and this machine alone
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
}
