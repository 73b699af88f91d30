// Photo page: a click on a face card selects it and tells Python which one it was.

element.addEventListener("click", (event) => {
  const card = event.target.closest(".face-card");
  if (!card) return;
  for (const other of element.querySelectorAll(".face-card")) {
    other.setAttribute("aria-pressed", other === card);
  }
  trigger("click", { face: Number(card.dataset.face) });
});
