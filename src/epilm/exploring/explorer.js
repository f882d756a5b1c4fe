// The page of loci: a table to click, and igv.js below it. All data stand in the element "data".
// What files call things is set as text; where igv.js makes HTML of a name, `plain` comes before.
(function () {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const state = document.documentElement.dataset;
state.state = "loading";

// The signs of HTML as signs that look like them.
const LOOKALIKES = {"<": "\u2039", ">": "\u203a", "&": "\uff06", "\"": "\u201d", "'": "\u2019"};
const plain = text => String(text).replace(/[<>&"']/g, sign => LOOKALIKES[sign]);
const shown = number => number.toLocaleString("en");
const words = locus => locus.chrom + ":" + (locus.first + 1) + "-" + locus.last;

function element(kind, text, name) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

document.getElementById("under").textContent = [
  data.assembly,
  shown(data.loci.length) + (data.loci.length === 1 ? " locus" : " loci"),
  shown(data.tracks.length) + " tracks",
].filter(Boolean).join(", ");

const notes = document.getElementById("notes");
let into = notes;
if (data.notes.length > 3) {
  into = element("details", undefined, "notes");
  into.append(element("summary", data.notes.length + " notes: what was left out, and why"));
  notes.append(into);
}
for (const note of data.notes) into.append(element("div", note, "note"));

// ---- the table of loci
const COLUMNS = [
  ["locus", locus => locus.name, false],
  ["chromosome", locus => locus.chrom, false],
  ["start", locus => locus.start + 1, true],
  ["end", locus => locus.end, true],
  ["bp", locus => locus.end - locus.start, true],
  ["from", locus => locus.origin, false],
];
const body = document.querySelector("#loci tbody");
const rows = data.loci.map((locus, number) => {
  const row = element("tr", undefined, "go");
  row.tabIndex = 0;
  for (const [, value, numeric] of COLUMNS) {
    const text = value(locus);
    const cell = element("td", numeric ? shown(text) : text, numeric ? "n" : "");
    if (!numeric) cell.title = text;
    row.append(cell);
  }
  row.addEventListener("click", () => go(number));
  row.addEventListener("keydown", event => {
    if (event.key === "Enter") go(number);
  });
  body.append(row);
  return {row, locus, number};
});
let sorted = null;
for (const [name, value, numeric] of COLUMNS) {
  const head = element("th", undefined, numeric ? "n" : "");
  const button = element("button", name);
  button.type = "button";
  button.addEventListener("click", () => {
    const down = sorted === name;
    sorted = down ? null : name;
    const order = numeric
      ? (a, b) => value(a.locus) - value(b.locus)
      : (a, b) => String(value(a.locus)).localeCompare(String(value(b.locus)), "en", {numeric: true});
    const sign = down ? -1 : 1;
    rows.sort((a, b) => sign * order(a, b) || a.number - b.number);
    body.append(...rows.map(each => each.row));
  });
  head.append(button);
  document.querySelector("#loci thead tr").append(head);
}
const count = document.getElementById("count");
function filter() {
  const wanted = document.getElementById("filter").value.toLowerCase();
  let left = 0;
  for (const {row, locus} of rows) {
    const text = [locus.name, words(locus), locus.origin].join(" ").toLowerCase();
    row.hidden = !text.includes(wanted);
    left += !row.hidden;
  }
  count.textContent = shown(left) + " of " + shown(rows.length) + ": click one to see it";
}
document.getElementById("filter").addEventListener("input", filter);
filter();

// ---- tracks for igv.js
function features(track) {
  const made = [];
  for (const part of track.parts) {
    const chr = part[0];
    if (track.kind === "levels") {
      let at = part[1];
      const step = part[2], runs = part[3], size = data.sizes[chr];
      for (let i = 0; i < runs.length; i += 2) {
        const end = at + runs[i] * step;
        if (runs[i + 1] !== null) {
          // Letters need a feature a base; bars do not.
          const piece = track.letters ? step : end - at;
          for (let from = at; from < end; from += piece) {
            made.push({chr, start: from, end: Math.min(from + piece, size), value: runs[i + 1]});
          }
        }
        at = end;
      }
      continue;
    }
    for (const [start, end, name, strand, colour, exons, said] of part[1]) {
      const feature = {chr, start, end};
      // igv.js writes a name in its feature's colour: of light states the legend tells, and a click.
      feature[track.group === "states" ? "state" : "name"] = plain(name || "");
      if (strand) feature.strand = strand;
      // Here and not on the track: a track's colour would win over those of its features.
      feature.color = "rgb(" + (colour || track.colour) + ")";
      if (exons && exons.length) feature.exons = exons.map(each => ({start: each[0], end: each[1]}));
      for (const key in said || {}) feature[plain(key)] = plain(said[key]);
      made.push(feature);
    }
  }
  return made;
}
const HEIGHTS = {genes: 62, states: 30, regions: 30, peaks: 42, motifs: 82, variants: 58};
const shownTracks = data.tracks.map((track, number) => {
  const config = {
    name: plain(track.name),
    id: "track" + number,
    order: number + 1,
    features: features(track),
    searchable: track.group === "genes",
    removable: true,
  };
  if (track.about) config.description = plain(track.about);
  if (track.kind === "levels") {
    Object.assign(config, {type: "wig", height: track.letters ? 76 : 46, windowFunction: "max"});
    config.color = "rgb(" + track.colour + ")";
    if (track.low !== null) config.min = track.low;
    if (track.high !== null && track.high > (track.low || 0)) config.max = track.high;
    else config.autoscale = true;
    if (track.axis) config.autoscaleGroup = "axis " + plain(track.axis);
    if (track.letters) Object.assign(config, {graphType: "dynseq", windowFunction: "none"});
    if (track.group === "variants") Object.assign(config, {graphType: "points", pointSize: 6, windowFunction: "none"});
  } else {
    const many = track.group === "genes" || track.group === "motifs" || track.group === "variants";
    Object.assign(config, {
      type: "annotation",
      height: HEIGHTS[track.group] || 34,
      displayMode: many ? "EXPANDED" : "COLLAPSED",
      visibilityWindow: -1,
    });
  }
  return config;
});

const fasta = data.sequence.map(([chrom, start, bases]) =>
  ">" + chrom + ":" + (start + 1) + "-" + (start + bases.length) + " @len=" + data.sizes[chrom] + "\n" + bases
).join("\n");
const options = {
  reference: {
    id: plain(data.assembly || "genome"),
    name: plain(data.assembly || "genome"),
    fastaURL: "data:application/octet-stream;base64," + btoa(fasta),
    indexed: false,
    wholeGenomeView: false,
  },
  loadDefaultGenomes: false,
  queryParametersSupported: false,
  search: false,
  showAllChromosomes: true,
  locus: words(data.loci[0]),
  tracks: shownTracks,
  roi: [{
    name: "loci",
    color: "rgba(43,108,176,0.07)",
    features: data.loci.map(({chrom, start, end, name}) => ({chr: chrom, start, end, name: plain(name)})),
  }],
};

let browser = null;
function go(number) {
  if (browser === null) return null;
  for (const each of rows) {
    each.row.setAttribute("aria-selected", String(each.number === number));
  }
  state.moving = "yes";
  return browser.search(words(data.loci[number])).finally(() => { state.moving = "no"; });
}

// ---- groups that can be hidden
function groupSwitches() {
  const names = [...new Set(data.tracks.map(track => track.group))];
  const bar = document.getElementById("groups");
  if (names.length < 2) return;
  for (const name of names) {
    const label = element("label");
    const box = element("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", async () => {
      box.disabled = true;
      for (let number = 0; number < data.tracks.length; number++) {
        if (data.tracks[number].group !== name) continue;
        if (box.checked) await browser.loadTrack(shownTracks[number]);
        else browser.removeTrackByName(shownTracks[number].name);
      }
      box.disabled = false;
    });
    label.append(box, " " + name);
    bar.append(label);
  }
}

// ---- what the colours of states mean
function legend() {
  const colours = new Map();
  for (const track of data.tracks) {
    if (track.group !== "states") continue;
    for (const part of track.parts) {
      for (const [, , name, , colour] of part[1]) if (name && colour) colours.set(name, colour);
    }
  }
  const order = [...colours].sort((a, b) => a[0].localeCompare(b[0], "en", {numeric: true}));
  for (const [name, colour] of order) {
    const item = element("span");
    const patch = element("i");
    patch.style.background = "rgb(" + colour + ")";
    item.append(patch, name);
    document.getElementById("legend").append(item);
  }
}

igv.createBrowser(document.getElementById("browser"), options).then(async made => {
  browser = made;
  window.explorer = {browser, go};
  groupSwitches();
  legend();
  // Once more: the tracks that came after the first fit may have brought a scroll bar.
  await go(0);
  state.state = "ready";
}).catch(error => {
  state.state = "failed";
  const note = element("div", "The browser did not start: " + (error && error.message || error), "note");
  document.getElementById("browser").append(note);
});
})();
