const form = document.getElementById("filters");
const cards = [...document.querySelectorAll(".card")];
function refresh() {
  const wanted = Object.fromEntries(new FormData(form));
  const names = ["task", "annotator", "given", "consensus"];
  const part = wanted.image.toLowerCase();
  const limit = wanted.score === "" ? 1 : Number(wanted.score);
  let shown = 0;
  for (const card of cards) {
    const rows = [...card.querySelectorAll("tr[data-task]")];
    const found = rows.some(
      (row) =>
        Number(row.dataset.score) <= limit &&
        names.every((n) => wanted[n] === "" || row.dataset[n] === wanted[n])
    );
    card.hidden = !found || !card.dataset.image.toLowerCase().includes(part);
    shown += !card.hidden;
  }
  document.getElementById("shown").textContent = `${shown} images`;
}
form.addEventListener("input", refresh);
form.addEventListener("submit", (event) => event.preventDefault());
