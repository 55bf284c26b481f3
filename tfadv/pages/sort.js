document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.querySelectorAll(".head th")];
  heads.forEach((head, place) => head.addEventListener("click", () => {
    const before = head.getAttribute("aria-sort");
    const down = before ? before !== "descending" : place > 1;
    const body = table.tBodies[0];
    const value = row => row.children[place].dataset.value;
    const number = text => text !== "" && !isNaN(text);
    const order = (one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const found = number(a) && number(b) ? a - b : a < b ? -1 : a > b ? 1 : 0;
      return down ? -found : found;
    };
    heads.forEach(one => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    [...body.rows].slice(1).sort(order).forEach(row => body.append(row));
  }));
});
