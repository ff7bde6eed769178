"use strict";
// The page is whole without this: it makes tables sortable and filtered, opens the arm that a link names, and
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
  const LEAST_ROWS = 5; // fewer need no filter
  for (const bar of document.querySelectorAll(".filter")) {
    const table = bar.closest("section").querySelector("table.arms");
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const [field, choice, told] = bar.querySelectorAll("input, select, output");
    const names = new Map(rows.map((row) => [row, row.cells[0].textContent.toLowerCase()]));
    const fits = (row, words) =>
      (!choice.value || row.dataset.kinds.split(" ").includes(choice.value)) &&
      words.every((word) => names.get(row).includes(word));
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/);
      const kept = rows.filter((row) => fits(row, words));
      const widths = heads.map((head) => head.offsetWidth);
      const part = kept.length < rows.length; // then the columns stay as wide as they are
      heads.forEach((head, i) => { head.style.width = part ? `${widths[i]}px` : ""; });
      table.style.tableLayout = part ? "fixed" : "";
      for (const row of rows) row.hidden = true;
      for (const row of kept) row.hidden = false;
      told.textContent = `${kept.length} of ${rows.length} rows`;
    };
    for (const event of ["input", "change"]) bar.addEventListener(event, filter);
    bar.hidden = rows.length < LEAST_ROWS;
    if (field.value || choice.value) filter(); // what a reload has kept
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
