"use strict";
/* Draws the charts when they come near, sorts and filters the tables. */
(() => {
  const { theme, specs } = JSON.parse(document.getElementById("charts").textContent);

  /* Charts */

  const narrow = 480;

  function themeFor(width, longest) {
    const own = structuredClone(theme);
    own.legend.columns = Math.max(1, Math.floor((width - 60) / (7 * longest + 44)));
    if (width < narrow) own.axis.labelLimit = 110;
    return own;
  }

  async function draw(place) {
    if (place.dataset.drawn) return;
    place.dataset.drawn = "begun";
    const spec = specs[place.dataset.name];
    const longest = spec.usermeta?.longest ?? 1;
    const config = themeFor(place.clientWidth, longest);
    await vegaEmbed(place, spec, {
      config, renderer: "svg", actions: false, ast: false, defaultStyle: false,
      tooltip: { theme: "custom" },
    });
    place.style.minHeight = "";
    place.dataset.drawn = "done";
  }

  const places = [...document.querySelectorAll(".chart")];
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "600px" });
  places.forEach((place) => watch.observe(place));

  /* The rest follows when nothing else is to do, so that a print has them all. */
  const idle = window.requestIdleCallback ?? ((then) => setTimeout(then, 50));
  function drawNext() {
    const next = places.find((place) => !place.dataset.drawn);
    if (next) draw(next).finally(() => idle(drawNext));
  }
  idle(drawNext);
  window.addEventListener("beforeprint", () => places.forEach(draw));

  /* Sorting, within each body of a table */

  function keyOf(row, column) {
    const cell = row.cells[column];
    if (cell === undefined) return "";
    return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim();
  }

  function compare(a, b, sign) {
    const empty = (key) => key === "" || key === "–" || Number.isNaN(key);
    if (empty(a) || empty(b)) return empty(a) - empty(b); /* last, whichever way */
    const numbers = typeof a === "number" && typeof b === "number";
    return sign * (numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  }

  function sort(table, header) {
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      const keyed = rows.map((row) => [keyOf(row, header.cellIndex), row]);
      keyed.sort(([a], [b]) => compare(a, b, descending ? -1 : 1));
      body.append(...keyed.map(([, row]) => row));
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.rows[0].cells) {
      header.querySelector("button").addEventListener("click", () => sort(table, header));
    }
  }

  /* Filtering the arms: every word must be in the row or in its group's title */

  const field = document.getElementById("filter");
  const arms = document.getElementById("arms");
  const found = document.getElementById("found");

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, all = 0;
    for (const body of arms.tBodies) {
      const title = body.dataset.title.toLowerCase();
      let here = 0;
      for (const row of body.rows) {
        if (row.classList.contains("group")) continue;
        const text = `${title} ${row.textContent.toLowerCase()}`;
        row.hidden = !words.every((word) => text.includes(word));
        here += !row.hidden;
        all += 1;
      }
      body.hidden = here === 0;
      shown += here;
    }
    found.textContent = words.length ? `${shown} of ${all} arms` : "";
  }

  field.addEventListener("input", filter);
  field.form.addEventListener("submit", (event) => event.preventDefault());
  if (field.value) filter(); /* a browser may bring back what was typed */
})();
