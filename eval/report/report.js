"use strict";
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const cards = [...document.querySelectorAll("#gallery .card")];
  const output = form.querySelector("output");
  const whole = output.textContent;
  const apply = () => {
    const wanted = [...form.querySelectorAll("select")].filter((s) => s.value);
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fits = wanted.every((s) => card.dataset[s.name] === s.value)
        && words.every((word) => card.dataset.text.includes(word));
      card.hidden = !fits;
      shown += fits;
    }
    output.textContent = shown === cards.length ? whole : `${shown} of the ${cards.length} failures here`;
  };
  form.addEventListener("input", apply);
  apply();
})();
