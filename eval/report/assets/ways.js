// The ways to make one merit of a score and a confidence: core.choosing's `Combining`, an entry each.
//
// prepare(offers): what the way needs of every candidate, worked out once. merit(prepared, box, pair, weight): what a
// candidate is chosen by; box counts the run's boxes, pair its boxes times captions. least(above, sigmoid): the setting
// `above` on the merit's scale.
const TINY = 1e-300;

const WAYS = {
  sum: {
    label: "sum: (1 − w) · score + w · confidence",
    prepare: (offers) => ({ score: offers.scores, confidence: offers.capped }),
    merit: (p, box, pair, weight) => (1 - weight) * p.score[pair] + weight * p.confidence[box],
    least: (above) => above,
  },
  product: {
    label: "product: score^(1 − w) · confidence^w",
    prepare: (offers) => ({
      score: offers.sigmoid ? offers.scores.map((s) => Math.log(Math.max(s, TINY))) : offers.scores,
      confidence: offers.capped.map((c) => Math.log(Math.max(c, TINY))),
    }),
    merit: (p, box, pair, weight) => (1 - weight) * p.score[pair] + weight * p.confidence[box],
    least: (above, sigmoid) => sigmoid ? Math.log(Math.max(above, TINY)) : above,
  },
  posterior: {
    label: "posterior: weighted logarithms",
    fits: (offers) => offers.logs.length > 0,
    prepare: (offers) => {
      const { known, own, confidence } = offers.posterior, crop = new Float64Array(offers.logs.length / 2);
      for (let n = 0; n < crop.length; n++) crop[n] = known * offers.logs[2 * n] + own * offers.logs[2 * n + 1];
      return { crop, confidence: offers.capped.map((c) => confidence * Math.log(Math.max(c, TINY))) };
    },
    merit: (p, box, pair) => p.crop[pair] + p.confidence[box],
    least: (above, sigmoid) => sigmoid ? Math.log(Math.max(above, TINY)) : above,
  },
};

function waysOf(offers) { return Object.keys(WAYS).filter((name) => !WAYS[name].fits || WAYS[name].fits(offers)); }
