"use strict";
// Headers of sortable tables become buttons; without scripts the tables stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return { text, number: text === "" ? -Infinity : Number(text) };
  };
  const sort = (column) => {
    const rising = headers[column].getAttribute("aria-sort") !== "ascending";
    for (const header of headers) header.removeAttribute("aria-sort");
    headers[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
    const numeric = headers[column].classList.contains("n");
    const compare = (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return numeric ? (x.number < y.number ? -1 : x.number > y.number ? 1 : 0) : x.text.localeCompare(y.text);
    };
    const rows = [...body.rows].sort(compare);
    if (!rising) rows.reverse();
    body.append(...rows);
  };
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(column));
  });
}
