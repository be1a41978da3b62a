/* Verdict on a claim from the values of every test image: the computation of softmask.measure.differences and
   softmask.measure.verdicts again, so that a reader can check the tables without Python.

   The scores of a method are {values: (seeds, images), patients: (images), curves, begun, failed, restarts, fixed}.
   `rule` has the constants of the Python modules. */
"use strict";

const Verdicts = (() => {
  const sum = values => values.reduce((total, value) => total + value, 0);
  const mean = values => sum(values) / values.length;
  const sumOver = (n, of) => { let total = 0; for (let i = 0; i < n; i++) total += of(i); return total; };

  /* Student's t distribution: logarithm of the gamma function by the Lanczos series, incomplete beta function by its
     continued fraction (Lentz's method), quantile by bisection. */

  const LANCZOS = [676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];

  function logGamma(x) {
    if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
    const series = LANCZOS.reduce((total, c, i) => total + c / (x + i), 0.99999999999980993);
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(series);
  }

  function incompleteBeta(x, a, b) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
    const least = value => Math.abs(value) < 1e-300 ? 1e-300 : value;
    let c = 1, d = 1 / least(1 - (a + b) * x / (a + 1)), fraction = d;
    for (let m = 1; m < 10000; m++) {
      const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      let step = 1;
      for (const term of [even, odd]) {
        d = 1 / least(1 + term * d);
        c = least(1 + term / c);
        step = c * d;
        fraction *= step;
      }
      if (Math.abs(step - 1) < 1e-15) break;
    }
    const front = a * Math.log(x) + b * Math.log1p(-x) - (logGamma(a) + logGamma(b) - logGamma(a + b));
    return Math.exp(front) * fraction / a;
  }

  function tCdf(t, df) {
    const tail = incompleteBeta(df / (df + t * t), df / 2, 0.5) / 2;
    return t > 0 ? 1 - tail : tail;
  }

  function tQuantile(p, df) {
    if (p < 0.5) return -tQuantile(1 - p, df);
    let [low, high] = [0, 1];
    while (tCdf(high, df) < p) high *= 2;
    for (let i = 0; i < 200 && high - low > 1e-14 * high; i++) {
      const middle = (low + high) / 2;
      if (tCdf(middle, df) < p) low = middle; else high = middle;
    }
    return (low + high) / 2;
  }

  /* Difference between two methods: mean, interval, standard error, degrees of freedom. */

  function patientMeans(values, kept, numbers, counts) {
    return values.map(row => {
      const sums = new Array(counts.length).fill(0);
      kept.forEach((image, i) => { sums[numbers[i]] += row[image]; });
      return sums.map((total, p) => total / counts[p]);
    });
  }

  function patientWeights(weights) {
    const n = weights.length, square = sumOver(n, p => weights[p] ** 2);
    const corrected = weights.map(w => w * w / (1 - 2 * w + square));
    const total = sum(corrected);
    const first = total - 2 * sumOver(n, p => corrected[p] * weights[p]) + total * square;
    // sum of squared entries of diag(c) - c w' - w c' + sum(c) w w', expanded
    const over = of => sumOver(n, p => of(corrected[p], weights[p]));
    const cc = over(c => c * c), cw = over((c, w) => c * w);
    const gram = cc + 2 * (total * over((c, w) => c * w * w) - 2 * over((c, w) => c * c * w))
      + 2 * cc * square + (total * square) ** 2 + 2 * cw * cw - 4 * total * cw * square;
    return [corrected, first * first / gram];
  }

  function seedParts(means, weights, corrected) {
    const seeds = means.length, n = weights.length;
    if (seeds < 2) return null;
    const each = means.map(row => sumOver(n, p => row[p] * weights[p])), centre = mean(each);
    const average = weights.map((_, p) => mean(means.map(row => row[p])));
    const variance = sum(each.map(value => (value - centre) ** 2)) / (seeds - 1);
    const interaction = sumOver(n, p => corrected[p]
      * sumOver(seeds, s => (means[s][p] - average[p] - (each[s] - centre)) ** 2)) / (seeds - 1);
    return [variance, interaction];
  }

  function compare(better, worse, { factor, lower, scale, level }) {
    if (!better.values.length || !worse.values.length) return null;
    const finite = image => [...better.values, ...worse.values].every(row => Number.isFinite(row[image]));
    const kept = [...better.patients.keys()].filter(finite);
    if (!kept.length) return null;
    const names = [...new Set(kept.map(image => better.patients[image]))], place = new Map(names.map((p, i) => [p, i]));
    const numbers = kept.map(image => place.get(better.patients[image]));
    const counts = names.map(() => 0);
    numbers.forEach(number => { counts[number] += 1; });
    const sign = lower ? -1 : 1, signs = [sign * scale, -sign * factor * scale];
    const means = [better, worse].map((scores, i) => patientMeans(scores.values, kept, numbers, counts)
      .map(row => row.map(value => signs[i] * value)));
    const weights = counts.map(count => count / kept.length);
    return difference(means, weights, [better.fixed, worse.fixed], kept.length, level);
  }

  function difference(means, weights, fixed, images, level) {
    const patients = weights.length, seeds = means.map(rows => rows.length);
    const byPatient = weights.map((_, p) => sum(means.map(rows => mean(rows.map(row => row[p])))));
    const centre = sumOver(patients, p => weights[p] * byPatient[p]);
    const result = { mean: centre, low: NaN, high: NaN, error: NaN, df: NaN, patients, images, seeds };
    if (patients < 2) return result;
    const [corrected, patientDf] = patientWeights(weights);
    const ofPatients = sumOver(patients, p => corrected[p] * (byPatient[p] - centre) ** 2);
    let parts = means.map((rows, i) => fixed[i] ? [0, 0] : seedParts(rows, weights, corrected));
    const known = parts.filter((part, i) => part && !fixed[i]);
    const terms = [];
    if (known.length) { // a network with a single seed takes the other network's variance between seeds
      const own = seeds.map(n => n - 1), most = Math.max(...own);
      const degrees = own.map((d, i) => d || fixed[i] ? d : most);
      parts = parts.map(part => part || known[0]);
      parts.forEach(([seed, interaction], i) => {
        terms.push([seed / seeds[i], degrees[i]], [-interaction / seeds[i], degrees[i] * patientDf]);
      });
    }
    const extra = sum(terms.map(([value]) => value));
    const variance = ofPatients + Math.max(extra, 0);
    const all = [[ofPatients, patientDf], ...(extra > 0 ? terms : [])].filter(([value]) => value);
    const spread = sum(all.map(([value, df]) => value * value / df));
    result.error = Math.sqrt(variance);
    const least = Math.min(...all.filter(([value]) => value > 0).map(([, df]) => df));
    result.df = spread ? Math.max(variance * variance / spread, least) : Infinity; // Satterthwaite
    const half = result.error ? tQuantile((1 + level) / 2, result.df) * result.error : 0;
    return Object.assign(result, { low: centre - half, high: centre + half });
  }

  /* Verdicts. */

  function pBelow(d, bound) {
    if (d.error > 0) return tCdf((d.mean - bound) / d.error, d.df);
    return d.mean >= bound ? 1 : 0;
  }
  const pAbove = (d, bound) => pBelow({ ...d, mean: -d.mean }, -bound);

  function lastGain(curve) {
    const length = Math.floor(curve.length / 5);
    if (!length) return Infinity;
    let best = -Infinity;
    const running = curve.map(value => { best = Math.max(best, value); return best; });
    return mean(running.slice(-length)) - mean(running.slice(-2 * length, -length));
  }

  function obstacle(scores, rule) {
    if (2 * scores.failed > scores.begun) return rule.words.failed;
    const gain = scores.curves.length ? mean(scores.curves.map(lastGain)) : NaN;
    return gain > rule.rising ? rule.words.undertrained : "";
  }

  function decide(d, kind, delta, words) {
    const { low, high } = d;
    let holds, contradicted, p;
    if (kind === "adds_little") {
      [holds, contradicted] = [-delta < low && high < delta, low > delta || high < -delta];
      p = Math.min(pBelow(d, -delta), pAbove(d, delta));
    } else if (kind === "suffices") {
      [holds, contradicted, p] = [low > -delta, high < -delta, pBelow(d, -delta)];
    } else {
      [holds, contradicted, p] = [low > 0, high < 0, pBelow(d, delta)];
      if (!holds && !contradicted && high < delta) return [words.noGain, p];
    }
    return [holds ? words.holds : contradicted ? words.contradicted : words.inconclusive, p];
  }

  function judgePair(better, worse, pair, claim, rule) {
    if (!better || !worse) return { verdict: rule.words.notRun, difference: null, p: NaN };
    const options = { factor: pair.times, lower: claim.lower, scale: claim.scale, level: rule.level };
    const d = compare(better, worse, options);
    const unjudged = [better, worse].map(scores => obstacle(scores, rule)).filter(Boolean).sort();
    if (pair.times > 1 && pair.times * mean(worse.values.flat().filter(Number.isFinite)) > 1) {
      unjudged.push(rule.words.outOfReach);
    }
    let [verdict, p] = [unjudged[0] || rule.words.inconclusive, NaN];
    if (!unjudged.length && d && d.patients >= rule.leastPatients) {
      [verdict, p] = decide(d, pair.kind, pair.delta, rule.words);
    }
    return { verdict, difference: d, p };
  }

  function holm(p) {
    const order = [...p.keys()].sort((a, b) => p[a] - p[b]);
    const adjusted = p.map(() => NaN);
    let largest = 0;
    order.forEach((i, rank) => {
      largest = Math.max(largest, p[i] * (order.length - rank));
      adjusted[i] = Math.min(largest, 1);
    });
    return adjusted;
  }

  function judgeClaim(outcomes, rule) {
    const words = rule.words, adjusted = holm(outcomes.map(({ p }) => Number.isNaN(p) ? 1 : p));
    const among = (...verdicts) => outcomes.filter(outcome => verdicts.includes(outcome.verdict));
    const against = outcomes.filter((outcome, i) =>
      [words.contradicted, words.noGain].includes(outcome.verdict) && adjusted[i] < (1 - rule.level) / 2);
    if (against.length) return words.fails;
    const missing = among(words.notRun).length;
    if (missing === outcomes.length) return words.notRun;
    const unjudged = among(words.failed)[0] || among(words.undertrained)[0] || among(words.outOfReach)[0];
    if (unjudged) return unjudged.verdict;
    if (among(words.holds).length === outcomes.length) return words.holds;
    return missing ? words.notFinished : words.inconclusive;
  }

  /* Return the scores of a method in the page's data by key, `paper|row|data set|metric`; undefined where missing. */
  function scoresOf(data, key) {
    const place = data.methods[key];
    if (place === undefined) return undefined;
    const method = data.scores[place], set = data.sets[method.set];
    return { ...method, key, images: set.images, patients: set.patients, curves: data.curves[method.curves] };
  }

  /* Judge a claim from the page's data. */
  function judge(claim, data) {
    const rule = data.rule, find = key => scoresOf(data, key);
    const outcomes = claim.pairs.map(pair => {
      const better = find(pair.better);
      const bound = better && { ...better, values: [better.patients.map(() => pair.bound / claim.scale)], curves: [],
        begun: 1, failed: 0, fixed: true };
      return judgePair(better, pair.bound === null ? find(pair.worse) : bound, pair, claim, rule);
    });
    return { verdict: judgeClaim(outcomes, rule), pairs: outcomes };
  }

  /* Return the disagreements between a recomputed claim and the claim as written, in words. Undefined differences agree
     with each other. */
  function disagreements(claim, again) {
    const differ = (a, b) => (a === null || Number.isNaN(a)) !== (b === null || Number.isNaN(b)) || Math.abs(a - b) > 1e-6;
    const found = again.verdict === claim.verdict ? [] : [`verdict ${again.verdict}, written ${claim.verdict}`];
    claim.pairs.forEach((pair, i) => {
      const now = again.pairs[i], d = now.difference;
      if (now.verdict !== pair.verdict) found.push(`${pair.words}: ${now.verdict}, written ${pair.verdict}`);
      for (const end of ["mean", "low", "high"]) {
        if (pair.difference || d) {
          const [written, computed] = [pair.difference && pair.difference[end], d && d[end]];
          if (differ(written, computed)) found.push(`${pair.words}: ${end} ${Number(computed).toPrecision(8)}, written ${
            Number(written).toPrecision(8)}`);
        }
      }
    });
    return found;
  }

  return { disagreements, judge, lastGain, scoresOf, tCdf, tQuantile };
})();

if (typeof module !== "undefined") module.exports = Verdicts;
