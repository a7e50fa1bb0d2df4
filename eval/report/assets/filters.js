// The controls above the cards: facets, words, ranges, order, and the selection as lines.
const filters = (() => {
  const form = document.getElementById("filters");
  const LABELS = { answer: "answer", fate: "what became of it", stage: "lost by", kind: "kind asked", answered: "kind answered", colour: "colour", size: "size",
    "look-alikes": "look-alikes", versus: "against the other", decided: "decided by", label: "label suspects" };

  function go(changes) { history.pushState(null, "", addressOf({ caption: null, ...changes })); readAddress(); refresh(); }

  function counted(of) {
    const found = new Map();
    for (let m = 0; m < numCaptions; m++) { const value = of(m); if (value !== null && value !== undefined) found.set(value, (found.get(value) || 0) + 1); }
    return found;
  }

  function facet(name, now, before) {
    const found = counted(facetOf(name, now, before)), wanted = state.facets[name];
    if (wanted !== undefined && !found.has(wanted)) found.set(wanted, 0);
    if (found.size < 2 && wanted === undefined) return null;
    const order = name === "fate" ? store.fates : name === "versus" ? OUTCOMES : null;
    const values = Array.from(found.keys()).sort((a, b) => order ? order.indexOf(a) - order.indexOf(b) : found.get(b) - found.get(a) || (a < b ? -1 : 1));
    const select = make("select", { name }, make("option", { value: "" }, "all"),
      values.map((v, k) => make("option", { value: k + 1, selected: v === wanted }, `${v} (${found.get(v)})`)));
    select.addEventListener("change", () => {
      const facets = { ...state.facets };
      if (select.selectedIndex === 0) delete facets[name]; else facets[name] = values[select.selectedIndex - 1];
      go({ facets });
    });
    return make("label", {}, LABELS[name], select);
  }

  function rangeChips() {
    return Object.entries(state.ranges).map(([name, [low, high]]) => make("button", { type: "button", class: "chip",
      "aria-label": `remove the limit of ${name}`, onclick: () => { const ranges = { ...state.ranges }; delete ranges[name]; go({ ranges }); } },
      `${name} ${Number.isFinite(low) ? fixed(low, 3) : "…"} to ${Number.isFinite(high) ? fixed(high, 3) : "…"} ✕`));
  }

  let timer = 0;

  function showFacets(now, before) {
    clearTimeout(timer);
    const had = document.activeElement?.form === form ? document.activeElement.name : null;
    document.getElementById("facets").replaceChildren(...FACETS.map((name) => facet(name, now, before)).filter(Boolean), ...rangeChips());
    if (had && form.elements[had]) form.elements[had].focus();
  }

  function show(captions, now, before, is_moving) {
    clearTimeout(timer);
    if (is_moving) timer = setTimeout(() => showFacets(now, before), 200); else showFacets(now, before);
    form.elements.sort.value = state.sort;
    form.elements.down.checked = state.down;
    if (document.activeElement !== form.elements.words) form.elements.words.value = state.words;
    document.getElementById("count").textContent = `${captions.length} of ${numCaptions} captions`;
    document.getElementById("clear").hidden = !(Object.keys(state.facets).length || Object.keys(state.ranges).length || state.words);
  }

  async function copy() {
    const lines = linesOf(gallery.captions()), area = document.getElementById("lines");
    area.value = lines;
    area.closest("details").open = true;
    area.select();
    try { await navigator.clipboard.writeText(lines); document.getElementById("copied").textContent = "Copied."; }
    catch { document.getElementById("copied").textContent = "Press Ctrl+C to copy."; }
  }

  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.words.addEventListener("input", () => { state.words = form.elements.words.value; history.replaceState(null, "", addressOf({})); refresh(true); });
    form.elements.sort.addEventListener("change", () => go({ sort: form.elements.sort.value }));
    form.elements.down.addEventListener("change", () => go({ down: form.elements.down.checked }));
    document.getElementById("clear").addEventListener("click", () => go({ facets: {}, ranges: {}, words: "" }));
    document.getElementById("copy").addEventListener("click", copy);
    document.getElementById("whose")?.addEventListener("change", (event) => go({ run: Number(event.target.value), setting: {} }));
  }
  return { show };
})();
