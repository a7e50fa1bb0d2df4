// "What if": the settings that can be moved, and the figures that they give beside the run's own.
const sliders = (() => {
  const form = document.getElementById("settings"), figures = document.getElementById("figures");
  const LABELS = { num_hits: "right answers", accuracy: "accuracy", ceiling: "ceiling", none_accuracy: "none-accuracy",
    target_accuracy: "target-accuracy", instance_f1: "F1 of the answers", exact_share: "answered exactly", precision: "boxes: precision",
    recall: "boxes: recall", f1: "boxes: F1" };
  let drawnFor = null;

  function moved(name, value) {
    const setting = { ...state.setting, [name]: value };
    if (value === ownSetting(store.runs[state.run])[name]) delete setting[name];
    state.setting = setting;
    soon(() => history.replaceState(null, "", addressOf({})));
    refresh(true);
  }

  let timer = 0;
  function soon(act) { clearTimeout(timer); timer = setTimeout(act, 250); }

  // A slider with its number, which takes any value within the range.
  function range(name, label, low, high, step, note) {
    const slide = make("input", { type: "range", name, min: low, max: high, step, "aria-label": label });
    const number = make("input", { type: "number", name: name + "_number", min: low, max: high, step: "any", "aria-label": label + ", exactly" });
    const take = (event) => { const v = Number(event.target.value); if (event.target.value !== "" && v >= low && v <= high) moved(name, v); };
    slide.addEventListener("input", take);
    number.addEventListener("change", take);
    return make("div", { class: "setting" }, make("span", {}, label), slide, number, note ? make("small", {}, note) : null);
  }

  function choice(name, label, values, shown) {
    const select = make("select", { name }, values.map((v) => make("option", { value: String(v) }, shown(v))));
    select.addEventListener("change", () => moved(name, values[select.selectedIndex]));
    return make("div", { class: "setting" }, make("label", {}, make("span", {}, label), select));
  }

  // absent_below: null, or a score; its slider covers the scores that there are.
  function absent(o) {
    const low = o.sigmoid ? 0 : Math.floor(o.scores.reduce((a, b) => Math.min(a, b), 0));
    const high = o.sigmoid ? 1 : Math.ceil(o.scores.reduce((a, b) => Math.max(a, b), 0));
    const box = make("input", { type: "checkbox", name: "absent" });
    box.addEventListener("change", () => moved("absent_below", box.checked ? (o.own.absent_below ?? low) : null));
    const row = range("absent_below", "absent below", low, high, (high - low) / 1000, "a best score below it means “not in this image”");
    row.prepend(make("label", { class: "tick" }, box, "answer “none”"));
    return row;
  }

  function build(o) {
    const rows = [];
    if (!o.fixed) {
      const low = Math.ceil(o.floor * 1000) / 1000;
      rows.push(range("confidence", "confidence", Math.min(o.floor, low), 0.99, 0.001, `from ${low} on, the lowest that the store covers for at most 150 boxes an image`));
      rows.push(choice("nms_iou", "NMS IoU", o.nms_ious, String));
      if (o.max_dets.length > 1) rows.push(choice("max_det", "most boxes", o.max_dets, (v) => v === null ? "all" : String(v)));
    }
    if (o.scores !== null) {
      if (!o.alone) {
        rows.push(range("weight", "weight of the confidence", 0, 1, 0.01));
        rows.push(choice("combine", "combine", waysOf(o), (name) => WAYS[name].label));
      }
      rows.push(absent(o));
    }
    rows.push(choice("select", "answer with", ["best", "above"], (v) => v === "best" ? "the best box" : "every box above"));
    if (o.scores !== null && !o.alone) {
      rows.push(choice("method", "captions of an image", ["best", "assignment"], (v) => v === "best" ? "each by itself" : "assigned together"));
    }
    rows.push(range("above", "above", o.sigmoid || o.scores === null ? 0 : -40, o.sigmoid || o.scores === null ? 1 : 40, 0.001, "the least merit of an answer's box"));
    form.replaceChildren(...rows, make("button", { type: "reset" }, "as the run was"));
  }

  function fill(o) {
    const at = { ...o.own, ...state.setting };
    for (const name of ["confidence", "weight", "above", "absent_below"]) {
      if (!form.elements[name]) continue;
      const value = at[name] ?? Number(form.elements[name].min);
      form.elements[name].value = value;
      if (document.activeElement !== form.elements[name + "_number"]) form.elements[name + "_number"].value = at[name] ?? "";
    }
    for (const name of ["nms_iou", "max_det", "combine", "select", "method"]) if (form.elements[name]) form.elements[name].value = String(at[name]);
    if (form.elements.absent) {
      form.elements.absent.checked = at.absent_below !== null;
      for (const name of ["absent_below", "absent_below_number"]) form.elements[name].disabled = at.absent_below === null;
    }
    for (const name of ["weight", "weight_number"]) if (form.elements[name]) form.elements[name].disabled = at.combine === "posterior";
    if (form.elements.method) form.elements.method.disabled = at.select === "above";
    for (const name of ["above", "above_number"]) form.elements[name].disabled = at.select !== "above";
  }

  function row(name, own, now) {
    const cell = (figure) => {
      if (!figure || figure.value === null) return make("td", { class: "n" }, "–");
      const text = name === "num_hits" ? String(figure.value) : percent(figure.value);
      return make("td", { class: "n" }, make("data", { value: figure.value }, text));
    };
    const told = now || own, spread = told[name].low === undefined ? "" : `${percent(told[name].low)} to ${percent(told[name].high)}`;
    return make("tr", { "data-figure": name }, make("th", { scope: "row" }, LABELS[name]), cell(own[name]), cell(now && now[name]),
      make("td", { class: "n" }, spread));
  }

  // own, now: figures of the run's setting and of the one looked at, null where nothing was moved.
  function show(run, own, now, spent_ms) {
    const o = offersOf(run), section = document.getElementById("what-if");
    section.hidden = !o;
    if (!o) return;
    if (drawnFor !== run) { build(o); drawnFor = run; }
    fill(o);
    figures.replaceChildren(...Object.keys(LABELS).filter((name) => own[name].value !== null).map((name) => row(name, own, now)));
    figures.parentElement.dataset.ms = spent_ms.toFixed(2);
    const differs = document.getElementById("differs"), num = own.num_other.value;
    differs.hidden = num === 0;
    differs.textContent = `The run itself answered ${num} of ${numCaptions} captions otherwise than its setting does here: a re-ranker or other rules chose. “As it was” is what the setting gives here.`;
  }

  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      state.setting = {};
      history.replaceState(null, "", addressOf({}));
      refresh();
    });
  }
  return { show };
})();
