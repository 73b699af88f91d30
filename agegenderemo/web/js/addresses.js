// Each tab has an address of its own, as #photo: it can be linked to, and "back" goes back.

const tabOf = (id) => document.querySelector('#pages [role="tab"][data-tab-id="' + CSS.escape(id) + '"]');
const named = () => decodeURIComponent(location.hash.slice(1));

function show() {
  const tab = named() ? tabOf(named()) : document.querySelector('#pages [role="tab"]');
  if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  return tab;
}

document.addEventListener("click", (event) => {
  const id = event.target.closest?.('#pages [role="tab"]')?.dataset.tabId;
  if (id && id !== named() && event.isTrusted) history.pushState(null, "", "#" + id);
});
// Another network opens on the same tab.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".networks a");
  if (link) link.hash = location.hash;
});
window.addEventListener("hashchange", show);
window.addEventListener("popstate", show);

// gradio draws the tabs some time after the page is there.
if (named()) {
  const watch = new MutationObserver(() => show() && watch.disconnect());
  watch.observe(document.documentElement, { childList: true, subtree: true });
}
