"use strict";
// The page is whole without this: it makes tables sortable, opens the arm that a link names, and
// lets the keyboard scroll what is wider than its place.
(() => {
  const text = (cell) => cell.dataset.key ?? cell.textContent.trim();
  const compare = (kind) => (a, b) => {
    if (kind === "text") return a.localeCompare(b);
    if (a === "" || b === "") return (a === "") - (b === ""); // what is unknown comes last
    return Number(a) - Number(b);
  };
  const sort = (table, column, kind, down) => {
    const body = table.tBodies[0];
    const order = compare(kind);
    const rows = [...body.rows].map((row) => [text(row.cells[column]), row]);
    rows.sort(([a], [b]) => (down && a !== "" && b !== "" ? order(b, a) : order(a, b)));
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.arms")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const kind = head.dataset.kind;
      if (!kind) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const down = was ? was === "ascending" : kind === "number";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, kind, down);
      });
    });
  }
  const reveal = () => {
    const named = location.hash && document.getElementById(location.hash.slice(1));
    const details = named && named.closest("details");
    if (!details) return;
    details.open = true;
    details.querySelector("summary").focus({ preventScroll: true });
    details.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", reveal);
  reveal();
  const reachable = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(".picture, .detail > div")) reachable.observe(box);
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) {
      one.open = true;
      closed.push(one);
    }
  });
  addEventListener("afterprint", () => {
    while (closed.length) closed.pop().open = false;
  });
})();
