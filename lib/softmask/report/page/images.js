/* Dialog behind a number: values of every test image; best, median and worst images with truth and outlines. */
"use strict";

const Images = (() => {
  const COLOURS = { truth: "#f0e442", first: "#1f9ad6", second: "#e8743b" };
  const SHOWN = 20; // rows of the list before it is unfolded
  const mean = values => values.reduce((total, value) => total + value, 0) / values.length;
  function median(values) {
    const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  const escaped = text => String(text).replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`);
  const bounded = metric => !/hausdorff|hd95/.test(metric);
  const number = (value, digits = 3, signed = false) => !Number.isFinite(value) ? "–"
    : ((signed && rounded(value, digits) > 0 ? "+" : "") + rounded(value, digits)).replace("-", "−");
  /* Return a value as text, in the unit in which the paper prints the measure. */
  function inUnit(key, value, signed) {
    const parts = key.split("|"), own = Page.data().scales;
    const scale = own[`${parts[0]}|${parts[3]}`] || own[`${parts[0]}|dice`] || 1;
    return number(bounded(parts[3]) ? scale * value : value, bounded(parts[3]) && scale === 1 ? 3 : 2, signed);
  }
  /* Return the unit of inUnit after a space; empty for shares from 0 to 1. */
  function unitOf(key) {
    const parts = key.split("|"), own = Page.data().scales;
    if (!bounded(parts[3])) return " pixels";
    return (own[`${parts[0]}|${parts[3]}`] || own[`${parts[0]}|dice`] || 1) === 100 ? " %" : "";
  }

  /* Return the mean over seeds of each image; NaN where a seed is undefined. */
  const perImage = scores => scores.images.map((_, i) => {
    const values = scores.values.map(row => row[i]);
    return values.length && values.every(Number.isFinite) ? mean(values) : NaN;
  });

  const nameOf = key => Page.data().names[key.split("|").slice(0, 2).join("|")] || key.split("|")[1];
  const sameImages = (a, b) => a && b && a.set === b.set;

  /* Return the keys of the paper's other rows with the same measure on the same images. */
  function others(key) {
    const [paper, row, dataset, metric] = key.split("|");
    return Object.keys(Page.data().methods).filter(other => {
      const parts = other.split("|");
      return parts[0] === paper && parts[1] !== row && parts[2] === dataset && parts[3] === metric
        && sameImages(Page.scores(other), Page.scores(key));
    });
  }

  /* Return the row to compare with: the requested row, else the paper's own method, else the best of the rows that a
     claim compares with this row, or of all rows. */
  function partner(key, row) {
    const keys = others(key), own = Page.data().own[key.split("|")[0]];
    const asked = keys.find(other => other.split("|")[1] === row) || keys.find(other => other.split("|")[1] === own);
    if (asked) return asked;
    const average = other => { const v = perImage(Page.scores(other)).filter(Number.isFinite); return v.length ? mean(v) : -1; };
    const claimed = new Set(Page.data().claims.flatMap(claim => claim.pairs).filter(pair => pair.better === key).map(pair => pair.worse));
    const rivals = keys.filter(other => claimed.has(other));
    return (rivals.length ? rivals : keys).sort((a, b) => average(b) - average(a))[0];
  }

  /* Charts as plain SVG. */

  function histogram(key, [first, second], names, centre) {
    const metric = key.split("|")[3];
    const all = [...first, ...(second || [])].filter(Number.isFinite);
    if (!all.length) return "";
    const low = bounded(metric) ? Math.min(0, ...all) : 0;
    const high = bounded(metric) ? Math.max(1, ...all) : Math.max(...all);
    const bins = 25, width = 520, height = 150, base = 120, top = 22;
    const count = values => {
      const counts = new Array(bins).fill(0);
      values.filter(Number.isFinite).forEach(value => {
        counts[Math.min(bins - 1, Math.floor((value - low) / (high - low || 1) * bins))] += 1;
      });
      return counts;
    };
    const counts = [first, ...(second ? [second] : [])].map(count), most = Math.max(1, ...counts.flat());
    const x = bin => 10 + bin / bins * (width - 20), y = n => base - n / most * (base - top);
    const bars = counts[0].map((n, i) => n ? `<rect class="first-bars" x="${x(i)}" width="${x(i + 1) - x(i) - 1}" y="${y(n)}"
      height="${base - y(n)}"/>` : "").join("");
    const steps = second ? `<path class="second-mark" d="M${x(0)} ${base}${counts[1].map((n, i) =>
      `V${y(n)}H${x(i + 1)}`).join("")}V${base}"/>` : "";
    const at = value => x((value - low) / (high - low || 1) * bins);
    const marks = [first, second].filter(Boolean).map((values, i) => {
      const value = centre.of(values.filter(Number.isFinite));
      return Number.isNaN(value) ? "" : `<line class="${i ? "second" : "first"}-mark" x1="${at(value)}" x2="${at(value)}" y1="${top}" y2="${base}"
        stroke-dasharray="4 3"/>`;
    }).join("");
    return `<figure><svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Distribution over images">
      ${bars}${steps}${marks}<line class="axis" x1="10" x2="${width - 10}" y1="${base}" y2="${base}"/>
      <text x="10" y="13">highest bar: ${most} image${most > 1 ? "s" : ""}</text>
      <text x="10" y="${base + 18}">${inUnit(key, low)}${unitOf(key)}</text>
      <text x="${width - 10}" y="${base + 18}" text-anchor="end">${inUnit(key, high)}${unitOf(key)}</text>
      <text x="${width / 2}" y="${base + 18}" text-anchor="middle">${escaped(names.metric)}, mean over seeds</text>
      </svg><figcaption>Test images by ${escaped(names.metric)}; dashed: ${centre.name}.</figcaption></figure>`;
  }

  function curves(first, second) {
    const lines = [first, second].filter(Boolean).map(scores => scores.curves), dice = `${first.key.split("|").slice(0, 3).join("|")}|dice`;
    const lengths = [...new Set(lines.flat().map(curve => curve.length))];
    if (Math.max(0, ...lengths) < 2) return "";
    const width = 520, height = 150, base = 120, left = 76, high = Math.max(...lines.flat(2)), low = Math.min(...lines.flat(2));
    const x = (i, n) => left + i / (n - 1) * (width - left - 10), y = value => base - (value - low) / (high - low || 1) * (base - 15);
    const paths = lines.map((own, k) => own.filter(curve => curve.length > 1).map(curve =>
      `<polyline class="${k ? "second" : "first"}-mark" points="${curve.map((value, i) =>
        `${x(i, curve.length).toFixed(1)},${y(value).toFixed(1)}`).join(" ")}"/>`).join("")).join("");
    const gains = [first, second].filter(scores => scores && scores.curves.length).map(scores => {
      const gain = mean(scores.curves.map(Verdicts.lastGain)), late = gain > Page.data().rule.rising;
      const rise = Number.isFinite(gain) ? number(gain, 4, true) : "of fewer than five epochs unknown";
      return `${escaped(nameOf(scores.key))} ${rise}${late ? " (undertrained)" : ""}`;
    });
    return `<figure><svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Validation Dice during training">
      ${paths}<line class="axis" x1="${left}" x2="${width - 10}" y1="${base}" y2="${base}"/>
      <text x="${left - 6}" y="19" text-anchor="end">${inUnit(dice, high)}${unitOf(dice)}</text>
      <text x="${left - 6}" y="${base}" text-anchor="end">${inUnit(dice, low)}${unitOf(dice)}</text>
      <text x="${left}" y="${base + 18}">epoch 1</text>
      <text x="${width - 10}" y="${base + 18}" text-anchor="end">${lengths.length === 1 ? `epoch ${lengths[0]}` : "last epoch"}</text>
      </svg><figcaption>Validation Dice by epoch, one line for each seed. Rise of the best value in the last fifth, as a share of 1
      (undertrained above ${Page.data().rule.rising}): ${gains.join("; ")}.</figcaption></figure>`;
  }

  /* Pictures: sheets with many images each, loaded once. */

  const sheets = new Map();
  function sheet(address) {
    if (!sheets.has(address)) {
      const image = new Image();
      sheets.set(address, new Promise((done, failed) => { image.onload = () => done(image); image.onerror = failed; }));
      image.src = address;
    }
    return sheets.get(address);
  }

  function cut(image, place, columns, size) {
    const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const [column, row] = [place % columns, Math.floor(place / columns)];
    context.drawImage(image, column * size, row * size, size, size, 0, 0, size, size);
    return [canvas, context];
  }

  /* Return the square of an image to show: masks with a margin, at least half of the image. */
  function lesion(masks, size) {
    let [top, left, bottom, right] = [size, size, 0, 0];
    for (const mask of masks) for (let r = 0; r < size; r++) for (let c = 0; c < size; c++) {
      if (mask[4 * (r * size + c)] <= 127) continue;
      [top, left, bottom, right] = [Math.min(top, r), Math.min(left, c), Math.max(bottom, r + 1), Math.max(right, c + 1)];
    }
    if (bottom <= top) return [0, 0, size];
    const side = Math.min(size, Math.max(size / 2, bottom - top + 8, right - left + 8));
    const place = middle => Math.round(Math.min(size - side, Math.max(0, middle - side / 2)));
    return [place((top + bottom) / 2), place((left + right) / 2), side];
  }

  function outline(context, mask, size, [top, left, side], scale, colour, shift) {
    const inside = (r, c) => r >= 0 && c >= 0 && r < size && c < size && mask[4 * (r * size + c)] > 127;
    const line = (x, y, dx, dy) => { context.moveTo(x, y); context.lineTo(x + dx, y + dy); };
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    for (let r = top; r <= top + side; r++) for (let c = left; c <= left + side; c++) {
      const [x, y] = [(c - left) * scale + shift, (r - top) * scale + shift];
      if (inside(r, c) !== inside(r - 1, c)) line(x, y, scale, 0);
      if (inside(r, c) !== inside(r, c - 1)) line(x, y, 0, scale);
    }
    context.stroke();
  }

  async function draw(canvas, pictures, place, layers) {
    const size = pictures.size, masks = [];
    for (const [address, own, columns] of [[pictures.truths, place, pictures.columns], ...layers]) {
      masks.push(cut(await sheet(address), own, columns, size)[1].getImageData(0, 0, size, size).data);
    }
    const [top, left, side] = lesion(masks, size), scale = Math.max(2, Math.round(384 / side));
    canvas.width = canvas.height = side * scale;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const [grey] = cut(await sheet(pictures.sheet), place, pictures.columns, size);
    context.drawImage(grey, left, top, side, side, 0, 0, side * scale, side * scale);
    const styles = [[COLOURS.truth, 0], ...layers.map(([, , , colour, shift]) => [colour, shift])];
    masks.forEach((mask, i) => outline(context, mask, size, [top, left, side], scale, ...styles[i]));
  }

  /* Return the mask that a method predicts on an image as a layer to draw; null where the record has none. */
  function layer(key, place, colour, shift) {
    const own = Page.data(), found = own.masks[key.split("|").slice(0, 3).join("|")];
    const kept = found === undefined ? null : own.predicted[found], at = kept ? kept.images.indexOf(place) : -1;
    return at < 0 ? null : [kept.sheet, at, kept.columns, colour, shift];
  }

  function card(title, image, view, equal = 1) {
    const figure = document.createElement("figure");
    const values = [view.first, view.second].filter(Boolean).map((scores, k) =>
      `${escaped(nameOf(scores.key))} ${inUnit(scores.key, view.values[k][image])}`);
    const id = view.first.images[image], pictures = view.pictures, place = view.places[image];
    const keys = place < 0 ? [] : [view.first, view.second].filter(Boolean).map(scores => scores.key);
    const layers = keys.map((key, k) => layer(key, place, ...(k ? [COLOURS.second, -2] : [COLOURS.first, 2])));
    const without = keys.filter((_, k) => !layers[k]).map(nameOf).join(" and ");
    const note = without ? `<br>No mask of this image is recorded for ${escaped(without)}.` : "";
    figure.innerHTML = `${place >= 0 ? `<canvas role="img" aria-label="${escaped(title)}: ${escaped(id)}"></canvas>`
      : `<div class="absent">Image not shown: ${escaped(whyAbsent(view))}.</div>`}
      <figcaption><strong>${escaped(title)}</strong><br>${values.join(", ")}<br><span class="quiet">${escaped(id)}${
        equal > 1 ? `<br>One of ${equal} images with this value.` : ""}${note}</span></figcaption>`;
    if (place >= 0) draw(figure.querySelector("canvas"), pictures, place, layers.filter(Boolean));
    return figure;
  }

  function whyAbsent({ pictures, places, scans }) {
    if (!pictures || pictures.missing) return pictures ? pictures.missing : "this page holds no images of these data";
    if (scans) return "the value is that of a whole scan";
    return `this page holds pictures of ${places.filter(place => place >= 0).length} of these ${places.length} images, without this one`;
  }

  function table(view, choose) {
    const { first, second, values } = view;
    const columns = [["Image", i => first.images[i]], ["Patient", i => first.patients[i]],
      [nameOf(first.key), i => values[0][i]]];
    if (second) columns.push([nameOf(second.key), i => values[1][i]], ["Difference", i => values[0][i] - values[1][i]]);
    let [by, down, whole] = [2, !bounded(first.key), false]; // worst values first
    const box = document.createElement("div");
    const render = () => {
      const of = columns[by][1], text = by < 2, sign = down ? -1 : 1;
      const rank = i => Number.isFinite(of(i)) ? sign * of(i) : Infinity; // undefined values last
      const order = [...first.images.keys()].sort((a, b) => text ? sign * String(of(a)).localeCompare(of(b), "en", { numeric: true })
        : rank(a) === rank(b) ? 0 : rank(a) - rank(b)); // equal values in the order of the test set
      const rows = (whole ? order : order.slice(0, SHOWN)).map(i => `<tr>${columns.map(([, value], k) => k === 0
        ? `<th scope="row"><button type="button" class="number" data-image="${i}">${escaped(value(i))}</button></th>`
        : `<td>${k === 1 ? escaped(value(i)) : inUnit(first.key, value(i), k === 4)}</td>`).join("")}</tr>`).join("");
      const heads = columns.map(([name], k) => `<th scope="col"${k === by ? ` aria-sort="${down ? "de" : "a"}scending"` : ""}
        ><button type="button" data-sort="${k}">${escaped(name)}</button></th>`).join("");
      box.innerHTML = `<div class="scroll" tabindex="0" role="region" aria-label="Values of every image"><table>
        <thead><tr>${heads}</tr></thead><tbody>${rows}</tbody></table></div>${whole || order.length <= SHOWN ? ""
        : `<button type="button" data-all>Show all ${order.length} images</button>`}`;
    };
    box.addEventListener("click", event => {
      const button = event.target.closest("button");
      if (!button) return;
      event.stopPropagation();
      if (button.dataset.image) return choose(Number(button.dataset.image));
      if (button.dataset.sort) [by, down] = [Number(button.dataset.sort), by === Number(button.dataset.sort) && !down];
      else whole = true;
      render();
      if (button.dataset.sort) box.querySelector(`[data-sort="${by}"]`).focus();
      else box.querySelectorAll("tbody button")[SHOWN].focus(); // first of the new rows
    });
    render();
    return box;
  }

  function show(key, row, printed, ofMedian) {
    const dialog = byId("images"), own = Page.data();
    const first = Page.scores(key);
    if (!first) return;
    const second = Page.scores(partner(first.key, row) || "");
    const [paper, , dataset, metric] = first.key.split("|");
    const names = { metric: own.metrics[metric] || metric, dataset: own.datasets[dataset] || dataset };
    const values = [first, second].filter(Boolean).map(perImage), pictures = own.pictures[dataset];
    const places = first.images.map(id => pictures && pictures.sheet ? pictures.ids.indexOf(id) : -1); // -1: no picture
    const scans = pictures && pictures.ids.some(slice => slice.includes(`/${first.images[0]}/`)); // not single images
    const view = { first, second, values, pictures, places, scans };
    const defined = [...first.images.keys()].filter(i => Number.isFinite(values[0][i]))
      .sort((a, b) => (bounded(metric) ? 1 : -1) * (values[0][a] - values[0][b])); // a large distance is bad
    const centre = ofMedian ? { name: "median", of: median } : { name: "mean", of: mean };
    const average = scores => `${centre.name} ${inUnit(scores.key, centre.of(scores.values.flat().filter(Number.isFinite)))}${unitOf(scores.key)}`;
    const undefinedOn = first.images.length - defined.length;
    const patients = new Set(first.patients).size, seeds = first.values.length;
    dialog.innerHTML = `<div class="dialog-top"><h2 id="images-title">${escaped(names.metric)} of ${escaped(nameOf(first.key))} on ${escaped(names.dataset)}</h2>
      <button type="button" data-close>Close</button></div><div class="dialog-body">
      <p>${[`${first.images.length} ${scans ? "scans" : "test images"} of ${patients} patients`, escaped(own.kinds[paper + "|" + dataset] || ""),
        `${seeds} seed${seeds > 1 ? "s" : ""}`, undefinedOn ? `undefined for ${undefinedOn} of the images` : ""].filter(Boolean).join("; ")}.
      <span class="key-line first-line"></span>${escaped(nameOf(first.key))} ${average(first)}${printed ? ` (printed ${escaped(printed)})` : ""}
      ${second ? `<span class="key-line second-line"></span>${escaped(nameOf(second.key))} ${average(second)}` : ""}</p>
      ${others(first.key).length ? `<p><label>Compare with <select>${others(first.key).map(other =>
        `<option value="${escaped(other)}"${second && other === second.key ? " selected" : ""}>${escaped(nameOf(other))}</option>`).join("")}</select></label></p>` : ""}
      <div class="pictures"></div>
      <p class="quiet">Values are means over seeds${unitOf(first.key) && `, in${unitOf(first.key)}`}; equal ones keep the order of the test set.${places.some(place => place >= 0)
        ? ` Outlines, of the first seed: <span class="key-line truth-line"></span>truth, and as above. Images: ${escaped(pictures.credit)}.` : ""}</p>
      <div class="charts">${histogram(first.key, values, names, centre)}${curves(first, second)}</div></div>`;
    const cards = dialog.querySelector(".pictures");
    const ends = (images, of = "") => [["Worst", 0], ["Median", (images.length - 1) >> 1], ["Best", images.length - 1]]
      .forEach(([words, place]) => {
        const equal = images.filter(i => values[0][i] === values[0][images[place]]).length;
        cards.append(card(words + of, images[place], view, equal));
      });
    const held = defined.filter(i => places[i] >= 0), kept = held.filter(i => layer(first.key, places[i]));
    if (held.length && held.length < defined.length) ends(held, ` among the ${held.length} with pictures, of ${defined.length} images`);
    else if (defined.length) ends(defined);
    if (kept.length && kept.length < held.length) ends(kept, ` of the ${kept.length} images with a kept prediction`);
    const choose = image => {
      const chosen = card("Chosen", image, view), before = cards.querySelector("[data-chosen]");
      chosen.dataset.chosen = "";
      if (before) before.replaceWith(chosen); else cards.prepend(chosen);
      chosen.scrollIntoView({ block: "nearest" });
    };
    dialog.querySelector(".dialog-body").append(table(view, choose));
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    const select = dialog.querySelector("select");
    if (select) select.addEventListener("change", () => { show(first.key, select.value.split("|")[1], printed, ofMedian); byId("images").querySelector("select").focus(); });
    if (dialog.open) return;
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  return { show };
})();

Page.start();
