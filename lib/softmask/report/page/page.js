/* Behaviour of the page: search, sections that open for a link, and recomputation of the claims. */
"use strict";

const byId = id => document.getElementById(id);

/* Round as the tables do: ties go to the even number, and zero has no sign. */
function rounded(value, digits) {
  const down = Math.floor(value * 10 ** digits), between = Math.abs(value * 2 ** (digits + 1) % 2) === 1;
  return (between ? (down + Math.abs(down % 2)) / 10 ** digits : value).toFixed(digits).replace(/^-(?=[0.]*$)/, "");
}

const Page = (() => {
  let parsed = null;
  /* Return the page's data, parsed once: values of every test image by method, images, claims, rule constants. */
  function data() {
    parsed = parsed || JSON.parse(byId("data").textContent);
    return parsed;
  }

  const scores = key => Verdicts.scoresOf(data(), key);

  function open(target) {
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  }

  function openAddress() {
    const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest(".hidden")) clearSearch();
    if (target.closest(".filtered")) document.querySelector("button[data-verdict='']").click();
    open(target);
    target.scrollIntoView();
  }

  function clearSearch() {
    byId("search").value = "";
    byId("search").dispatchEvent(new Event("input"));
  }

  /* Hide headings without visible content below them. */
  function hideEmpty() {
    document.querySelectorAll("#claims .paper").forEach(heading => {
      let next = heading.nextElementSibling;
      while (next && next.matches(".claim.hidden, .claim.filtered")) next = next.nextElementSibling;
      heading.classList.toggle("hidden", !next || !next.matches(".claim"));
    });
    document.querySelectorAll(".entries").forEach(section => {
      section.classList.toggle("hidden", !section.querySelector("[data-find]:not(.hidden)"));
    });
  }

  function search() {
    const input = byId("search"), said = byId("matches");
    const parts = [...document.querySelectorAll("[data-find]")];
    const texts = new Map();
    const text = part => {
      if (!texts.has(part)) texts.set(part, part.textContent.toLowerCase());
      return texts.get(part);
    };
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = parts.filter(part => words.every(word => text(part).includes(word)));
      parts.forEach(part => part.classList.toggle("hidden", !found.includes(part)));
      document.querySelectorAll("details.own").forEach(own => { own.open = words.length > 0; });
      if (words.length) document.querySelector("button[data-verdict='']").click();
      said.textContent = !words.length ? "" : found.length ? `${found.length} of ${parts.length}` : "nothing found";
      hideEmpty();
      if (words.length && found.length) found[0].scrollIntoView();
    });
    document.addEventListener("keydown", event => {
      if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        input.focus();
      } else if (event.key === "Escape" && document.activeElement === input) {
        clearSearch();
      }
    });
  }

  function filter() {
    const buttons = [...document.querySelectorAll("button[data-verdict]")];
    buttons.forEach(button => button.addEventListener("click", () => {
      const wanted = button.dataset.verdict;
      buttons.forEach(other => other.setAttribute("aria-pressed", String(other === button)));
      document.querySelectorAll(".claim").forEach(claim => {
        claim.classList.toggle("filtered", Boolean(wanted) && claim.dataset.verdict !== wanted);
      });
      hideEmpty();
    }));
  }

  /* Return the places where the page shows another verdict, difference or interval of a claim than the data. */
  function misprinted(claim) {
    const shown = element => element.textContent.replace(/\s+/g, " ").trim(), card = byId(claim.id);
    const signed = value => ((rounded(value, 2) > 0 ? "+" : "") + rounded(value, 2)).replace("-", "−");
    const words = ({ difference: d }) => signed(d.mean) + (d.low === null ? "" : ` (${signed(d.low)} to ${signed(d.high)})`);
    const rows = [...card.querySelectorAll(".pairs tbody tr")];
    const wrong = claim.pairs.filter((pair, i) => pair.difference && pair.difference.mean !== null &&
      (shown(rows[i].cells[2]) !== words(pair) || !shown(rows[i].cells[5]).startsWith(pair.verdict))).map(pair => pair.words);
    const top = claim.deciding === null ? null : claim.pairs[claim.deciding];
    const wrongOnTop = !shown(card.querySelector(".badge")).startsWith(claim.verdict) ||
      (top && top.difference && top.difference.mean !== null && !shown(card.querySelector(".size")).startsWith(words(top)));
    return [...(wrongOnTop ? ["the claim's own line"] : []), ...wrong].map(where => `${where}: the page shows another number or verdict`);
  }

  /* Recompute a claim; return true where it agrees, false where not, null where values are missing. */
  function check(claim) {
    const missing = claim.pairs.some(pair => pair.difference &&
      [pair.better, ...(pair.bound === null ? [pair.worse] : [])].some(key => !scores(key)));
    const place = document.querySelector(`[data-claim="${claim.id}"]`);
    if (missing || !claim.pairs.some(pair => pair.difference)) {
      place.textContent = missing ? "Not computed again: this page does not hold all the values behind this claim." : "";
      return null;
    }
    const again = Verdicts.judge(claim, data()), wrong = [...Verdicts.disagreements(claim, again), ...misprinted(claim)];
    place.classList.add(wrong.length ? "disagrees" : "agrees");
    const decided = claim.deciding === null ? null : again.pairs[claim.deciding].difference;
    const number = value => ((rounded(value, 2) > 0 ? "+" : "") + rounded(value, 2)).replace("-", "−");
    const interval = decided && Number.isFinite(decided.low)
      ? `; deciding comparison ${number(decided.mean)} (${number(decided.low)} to ${number(decided.high)})` : "";
    const few = wrong.slice(0, 5).join("; ") + (wrong.length > 5 ? ` and ${wrong.length - 5} more` : "");
    place.textContent = wrong.length
      ? `Computed again in this page, the values no longer agree with what is written: ${few}.`
      : `Computed again in this page from the values of every image: ${again.verdict}${interval}. Agrees.`;
    return !wrong.length;
  }

  function checkAll() {
    try { data(); } catch (error) {
      byId("recomputed").classList.add("disagrees");
      byId("recomputed").textContent = `Not computed again: the values in this file are damaged (${error.message}).`;
      return;
    }
    const began = performance.now(), results = data().claims.map(claim => [claim, check(claim)]);
    const having = value => results.filter(([, agrees]) => agrees === value).map(([claim]) => claim);
    const [right, wrong] = [having(true), having(false)], said = byId("recomputed");
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    if (!right.length && !wrong.length) {
      said.textContent = "";
      return;
    }
    said.classList.add(wrong.length ? "disagrees" : "agrees");
    said.textContent = `Computed again in this page from the values of every test image, in ${seconds} s: `
      + `${right.length} of ${right.length + wrong.length} claims agree with what is written`
      + (wrong.length ? `. Verdict or interval NO LONGER AGREES: ${wrong.map(claim => claim.words).join("; ")}.` : ".");
    wrong.forEach(claim => byId(claim.id).classList.add("changed"));
  }

  function start() {
    search();
    filter();
    addEventListener("hashchange", openAddress);
    openAddress();
    document.addEventListener("click", event => {
      const button = event.target.closest("button.number");
      if (button) Images.show(button.dataset.key, button.dataset.with, button.dataset.printed, "median" in button.dataset);
    });
    setTimeout(checkAll, 50);
  }

  return { data, scores, start };
})();
