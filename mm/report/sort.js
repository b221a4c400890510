// Sort the rows of a grid by the column whose head is clicked: numbers by value, words and instants as text.

const amount = (cell) => {
  const found = cell.textContent.replaceAll(",", "").replaceAll("−", "-").match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?(?![\w:.-])/);
  return found ? Number(found[0]) : null;
};
const order = (a, b) => {
  const [first, second] = [amount(a), amount(b)];
  if (first === null || second === null) {
    if (first !== second) return first === null ? 1 : -1;
    return a.textContent.localeCompare(b.textContent);
  }
  return first - second;
};
for (const table of document.querySelectorAll("table.grid")) {
  const heads = [...table.querySelectorAll(".cols > *")];
  if (table.rows.length < 3) continue;
  heads.forEach((head, place) => {
    head.dataset.sort = place;
    head.tabIndex = 0;
    const sort = () => {
      const down = head.ariaSort === "ascending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.ariaSort = down ? "descending" : "ascending";
      const rows = [...table.rows].slice(1).sort((a, b) => (down ? -1 : 1) * order(a.cells[place], b.cells[place]));
      for (const row of rows) row.parentElement.append(row);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}
