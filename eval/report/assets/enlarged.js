// One caption at the size of the window, with every candidate and its scores; arrow keys go to the next and the last.
const enlarged = (() => {
  const dialog = document.getElementById("enlarged");

  function table(m, view, title) {
    const image = store.captions.image[m], rows = candidatesOf(view.run, m, view.setting).map((c, n) =>
      make("tr", { class: (c.chosen ? "chosen " : "") + (c.right ? "good" : "") },
        make("td", {}, cropOf(image, c.xyxy, 40, `candidate ${n + 1}`)), make("td", { class: "n" }, c.score === null ? "–" : shownScore(c.score)),
        make("td", { class: "n" }, fixed(c.confidence, 3)), make("td", { class: "n" }, fixed(c.iou, 2)),
        make("td", {}, c.chosen ? "answer" : "", c.right ? (c.chosen ? ", right" : "would be right") : "")));
    if (!rows.length) return null;
    const head = ["crop", "score", "confidence", "IoU", ""].map((name, k) => make("th", { scope: "col", class: k > 0 && k < 4 ? "n" : "" }, name));
    return make("table", { class: "candidates" }, make("caption", {}, title || "candidates by falling score"),
      make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows));
  }

  function shownScore(score) { return score > 0 && score < 0.0005 ? score.toExponential(1) : fixed(score, 3); }

  function paint() {
    const m = state.caption, captions = gallery.captions(), views = gallery.views(), titles = gallery.titles();
    const place = captions.indexOf(m), scene = sceneOf(m, views, fileOf(store.captions.image[m]));
    for (const view of views) for (const c of candidatesOf(view.run, m, view.setting)) scene.append(rectangle(c.ltwh, "offer"));
    dialog.querySelector("h2").textContent = captionOf(m);
    dialog.querySelector(".place").textContent = place < 0 ? "not in the selection" : `${place + 1} of ${captions.length}`;
    dialog.querySelector(".stage").replaceChildren(scene);
    const margin = views[views.length - 1].value("margin", m);
    dialog.querySelector(".about").replaceChildren(
      make("p", { class: "meta" }, imageNameOf(m), Number.isFinite(margin) ? ` · margin ${fixed(margin, 2)}` : ""),
      ...views.map((view, k) => make("p", {}, tagOf(view, m, titles[k]), " · ", store.why[view.fate[m]])),
      ...views.map((view, k) => table(m, view, titles[k])).filter(Boolean));
  }

  function turnTo(m) {
    state.caption = m;
    history.replaceState(null, "", addressOf({}));
    refresh();
  }

  function step(by) {
    const captions = gallery.captions(), place = captions.indexOf(state.caption);
    const next = captions[Math.max(0, Math.min(captions.length - 1, place + by))];
    if (next !== undefined && next !== state.caption) turnTo(next);
  }

  // Opens, redraws or closes by what the address says.
  function follow() {
    if (state.caption === null) { if (dialog.open) dialog.close(); return; }
    paint();
    if (!dialog.open) dialog.showModal();
  }

  if (dialog) {
    dialog.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (by) { event.preventDefault(); step(by); }
    });
    dialog.querySelector(".next").addEventListener("click", () => step(1));
    dialog.querySelector(".last").addEventListener("click", () => step(-1));
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => {
      const m = state.caption;
      if (m === null) return;
      turnTo(null);
      gallery.reveal(m);
    });
  }
  return { follow };
})();
