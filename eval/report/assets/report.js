// From the address to the page: the views, the selection, its cards. Everything that changes the page goes this way.
const knownViews = new Map();

function viewOf(run, setting) {
  const key = JSON.stringify([store.runs.indexOf(run), setting]);
  if (!knownViews.has(key)) {
    if (knownViews.size > 8) knownViews.delete(knownViews.keys().next().value);
    knownViews.set(key, setting ? viewAt(run, setting) : viewAsIs(run));
  }
  return knownViews.get(key);
}

const knownFigures = new Map();
function ownFigures(run) {
  if (!knownFigures.has(run)) {
    const told = answersAt(run, ownSetting(run));
    knownFigures.set(run, { ...figuresOf(told, offersOf(run)), num_other: { value: numOthers(run, told) } });
  }
  return knownFigures.get(run);
}

// How many captions the run answered otherwise than these rules do at its own setting: a re-ranker chose, or a hand.
function numOthers(run, told) {
  let found = 0;
  for (let m = 0; m < numCaptions; m++) if ((run.fate[m] === FATE.right) !== (told.hit[m] === 1)) found++;
  return found;
}

// is_moving: a slider is under a hand, so that the counts of the filters may follow a little later.
function refresh(is_moving = false) {
  const run = store.runs[state.run], setting = movedSetting(run);
  const own = offersOf(run) ? ownFigures(run) : null, began = performance.now();
  const now = viewOf(run, setting), figures = setting ? figuresOf(now.told, offersOf(run)) : null, spent_ms = performance.now() - began;
  const before = setting ? viewOf(run, null) : state.run > 0 ? viewOf(store.runs[0], null) : null;
  const captions = selected(now, before), titles = setting ? ["as it was", "what if"] : before ? [store.runs[0].name, run.name] : [null];
  sliders.show(run, own, figures, spent_ms);
  gallery.show(captions, before ? [before, now] : [now], titles);
  filters.show(captions, now, before, is_moving);
  const whose = document.getElementById("whose");
  if (whose) whose.value = String(state.run);
  enlarged.follow();
  document.documentElement.dataset.shownMs = (performance.now() - began).toFixed(2);
}

if (store && document.getElementById("cards")) {
  readAddress();
  refresh();
  addEventListener("hashchange", () => {
    const was = state.caption;
    const asks = readAddress();
    if (!asks && !location.hash.startsWith("#/") && location.hash !== "") return; // a section of the page
    refresh();
    if (state.caption === null && was === null && asks) document.getElementById("captions").scrollIntoView({ behavior: "instant" });
  });
  addEventListener("popstate", () => { if (location.hash === "" || location.hash.startsWith("#/")) { readAddress(); refresh(); } });
  document.documentElement.dataset.ready = "true";
}
