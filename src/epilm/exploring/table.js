// A table that sorts by a click on a column and filters by words: "CTCF chr20 score>0.5".
// Fields of the file are set as text, never as HTML.
(function () {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 200;
const shown = number => number.toLocaleString("en");
const body = document.querySelector("tbody");
let order = data.rows.map((_, i) => i);
let visible = order;
let sorted = -1, down = false, page = 0;

for (const note of data.notes) {
  const made = document.createElement("div");
  made.className = "note";
  made.textContent = note;
  document.getElementById("notes").append(made);
}

// What is no number stands last, whichever way one sorts.
function compare(column) {
  if (!data.numeric[column]) {
    return (a, b) => data.rows[a][column].localeCompare(data.rows[b][column], "en", {numeric: true});
  }
  const value = row => {
    const text = data.rows[row][column];
    return text === "" ? NaN : text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
  };
  const values = data.rows.map((_, row) => value(row));
  return (a, b) => {
    const x = values[a], y = values[b];
    if (Number.isNaN(x) || Number.isNaN(y)) {
      return (Number.isNaN(x) - Number.isNaN(y)) * (down ? -1 : 1);
    }
    return x < y ? -1 : x > y ? 1 : 0;
  };
}

const heads = data.names.map((name, column) => {
  const head = document.createElement("th");
  if (data.numeric[column]) head.className = "n";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => {
    // Numbers begin with the largest: that is what one looks for.
    down = sorted === column ? !down : data.numeric[column];
    sorted = column;
    const by = compare(column);
    order = data.rows.map((_, i) => i).sort((a, b) => (down ? -1 : 1) * by(a, b) || a - b);
    heads.forEach((each, i) => each.textContent = data.names[i] + (i === column ? (down ? " \u2193" : " \u2191") : ""));
    filter();
  });
  head.append(button);
  document.querySelector("thead tr").append(head);
  return button;
});

// Every word must be met: NAME<number, NAME>number, or a part of any field.
function filter() {
  const tests = document.getElementById("filter").value.trim().split(/\s+/).filter(Boolean).map(word => {
    const parts = /^(.+?)([<>])(-?[\d.]+(?:e-?\d+)?)$/.exec(word);
    const column = parts ? data.names.findIndex(name => name.toLowerCase() === parts[1].toLowerCase()) : -1;
    if (column >= 0) {
      const limit = Number(parts[3]);
      return row => {
        const value = row[column] === "" ? NaN : Number(row[column]);
        return parts[2] === "<" ? value < limit : value > limit;
      };
    }
    const wanted = word.toLowerCase();
    return row => row.some(field => field.toLowerCase().includes(wanted));
  });
  visible = tests.length ? order.filter(i => tests.every(test => test(data.rows[i]))) : order;
  page = 0;
  draw();
}

function draw() {
  const pages = Math.max(1, Math.ceil(visible.length / PAGE));
  page = Math.min(page, pages - 1);
  const rows = visible.slice(page * PAGE, (page + 1) * PAGE).map(i => {
    const row = document.createElement("tr");
    data.rows[i].forEach((field, column) => {
      const cell = document.createElement("td");
      cell.textContent = field;
      cell.title = field;
      if (data.numeric[column]) cell.className = "n";
      row.append(cell);
    });
    return row;
  });
  body.replaceChildren(...rows);
  document.getElementById("count").textContent = shown(visible.length) + " of " + shown(data.rows.length) + " rows";
  document.getElementById("pages").textContent = "page " + shown(page + 1) + " of " + shown(pages);
  document.getElementById("before").disabled = page === 0;
  document.getElementById("after").disabled = page === pages - 1;
}

document.getElementById("filter").addEventListener("input", filter);
document.getElementById("before").addEventListener("click", () => { page--; draw(); });
document.getElementById("after").addEventListener("click", () => { page++; draw(); });
draw();
document.documentElement.dataset.state = "ready";
})();
