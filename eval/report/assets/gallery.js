// The cards of a selection: however many there are, only those in sight are made.
const CARD_WIDTH = 264, GAP = 22, MOST_PRINTED = 60;

const gallery = (() => {
  const list = document.getElementById("cards");
  let captions = [], views = [], titles = [], columns = 1, rowHeight = 0, first = -1, last = -1, columnsDrawn = 0;

  function measure() {
    columns = Math.max(1, Math.floor((list.clientWidth + GAP) / (CARD_WIDTH + GAP)));
    rowHeight = 318 + 74 * (views.length - 1) + (views.length > 1 ? 24 : 0) + GAP;
    list.style.setProperty("--columns", columns);
    list.style.setProperty("--card-height", rowHeight - GAP + "px");
  }

  function inSight() {
    const rows = Math.ceil(captions.length / columns), top = list.getBoundingClientRect().top;
    const from = Math.max(0, Math.min(rows, Math.floor((-top - 400) / rowHeight)));
    const to = Math.max(from, Math.min(rows, Math.ceil((innerHeight - top + 400) / rowHeight)));
    return [from, Math.max(to, Math.min(rows, from + 1)), rows];
  }

  function render(anew) {
    if (!list) return;
    const [from, to, rows] = inSight();
    if (!anew && from === first && to === last && columns === columnsDrawn) return;
    const focused = document.activeElement?.closest?.("#cards .card")?.dataset.caption;
    [first, last, columnsDrawn] = [from, to, columns];
    list.style.paddingTop = from * rowHeight + "px";
    list.style.paddingBottom = Math.max(0, (rows - to) * rowHeight) + "px";
    const shown = captions.slice(from * columns, to * columns);
    list.replaceChildren(...shown.map((m, k) => cardOf(m, from * columns + k, captions.length, views, titles)));
    if (focused !== undefined) focus(Number(focused));
  }

  // On paper there is no scrolling: the first cards of the selection, and every part that can be unfolded.
  function print(is_on) {
    if (!is_on) { for (const part of document.querySelectorAll("details[data-folded]")) { part.open = false; delete part.dataset.folded; } render(true); return; }
    for (const part of document.querySelectorAll("section details:not([open]):not(.lines)")) { part.open = true; part.dataset.folded = ""; }
    list.style.paddingTop = list.style.paddingBottom = "0";
    list.replaceChildren(...captions.slice(0, MOST_PRINTED).map((m, k) => cardOf(m, k, captions.length, views, titles)));
  }

  function focus(m) {
    const link = list.querySelector(`.card[data-caption="${m}"] .name`);
    if (link) link.focus({ preventScroll: true });
  }

  // Brings a caption's card into sight and gives it the keys.
  function reveal(m) {
    const place = captions.indexOf(m);
    if (place < 0) return;
    const top = list.getBoundingClientRect().top + scrollY + Math.floor(place / columns) * rowHeight;
    if (top < scrollY + 60 || top + rowHeight > scrollY + innerHeight) scrollTo({ top: top - 90, behavior: "instant" });
    render(false);
    focus(m);
  }

  function move(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -Infinity, End: Infinity };
    const card = event.target.closest(".card");
    if (!card || !(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const place = captions.indexOf(Number(card.dataset.caption)) + steps[event.key];
    reveal(captions[Math.max(0, Math.min(captions.length - 1, place))]);
  }

  function show(newCaptions, newViews, newTitles) {
    [captions, views, titles] = [newCaptions, newViews, newTitles];
    measure();
    render(true);
  }

  if (list) {
    addEventListener("scroll", () => render(false), { passive: true });
    addEventListener("resize", () => { measure(); render(false); });
    list.addEventListener("keydown", move);
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
  }
  return { show, reveal, captions: () => captions, views: () => views, titles: () => titles };
})();
