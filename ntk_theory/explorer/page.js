"use strict";
// The page: fields to a setting, closed forms to pictures and words. After forms.js and width.js.

(() => {
  const DEFAULTS = { rho: "0.3", r: "20", s: "10", K: "6", schedule: "power", B: "", tau: "",
    p: "1", level: "0.25", m: "256", t: "40", soft: "" };
  const WIDTHS = Array.from({ length: 13 }, (_, i) => 2 ** (i + 8));
  const ROUNDS = [1, 2, 3];
  const byId = (id) => document.getElementById(id);
  const form = byId("setting");
  const field = (name) => form.elements[name];
  const number = (x, digits = 3) =>
    (Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(digits)))).replace("-", "−");

  // ------------------------------------------------------------ fields, sliders and the address

  // An element with attributes and children; in the name space of SVG if `svg`.
  function element(tag, attributes = {}, children = [], svg = false) {
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    made.append(...children);
    return made;
  }

  function sliders() {
    return [...form.querySelectorAll("[data-of]")];
  }

  // A slider of the ratio moves by a tenth of an octave.
  function sliderToField(slider) {
    const value = "log" in slider.dataset ? number(2 ** (slider.value / 10)) : slider.value;
    field(slider.dataset.of).value = value;
  }

  function fieldToSlider(slider) {
    const value = Number(field(slider.dataset.of).value);
    slider.value = "log" in slider.dataset ? Math.round(10 * Math.log2(value)) : value;
    slider.setAttribute("aria-valuetext", String(value));
  }

  function fill(values) {
    Object.entries(DEFAULTS).forEach(([name, otherwise]) => {
      const value = values[name] ?? otherwise;
      const known = [...field(name).options ?? []].some((one) => one.value === value);
      if (name === "soft") field(name).checked = value === "1";
      else field(name).value = field(name).tagName === "SELECT" && !known ? otherwise : value;
    });
  }

  function fields() {
    return Object.fromEntries(Object.keys(DEFAULTS).map((name) =>
      [name, name === "soft" ? (field(name).checked ? "1" : "") : field(name).value]));
  }

  function fromAddress() {
    fill(Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
    render();
  }

  function toAddress() {
    const changed = Object.entries(fields()).filter(([name, value]) => value !== DEFAULTS[name]);
    const hash = new URLSearchParams(changed).toString();
    history.replaceState(null, "", hash ? `#${hash}` : "#");
  }

  // ------------------------------------------------------------ from the fields to curves

  // The number in a field; null where it may be empty and is.
  function entered(name) {
    const input = field(name);
    const empty = input.value === "";
    if (empty && DEFAULTS[name] === "" && !input.validity.badInput) return null;
    const [value, least, most] = [input.value, input.min, input.max || Infinity].map(Number);
    const whole = input.step !== "1" || Number.isInteger(value);
    if (!empty && value >= least && value <= most && whole) return value;
    const kind = input.step === "1" ? "a whole number" : "a number";
    const range = input.max === "" ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new RangeError(`${input.labels[0].textContent}: ${kind} ${range} is wanted`);
  }

  function scene() {
    const schedule = { name: field("schedule").value, burnIn: entered("B") };
    schedule.decay = /power|geometric/.test(schedule.name) ? entered("tau") : null;
    schedule.exponent = schedule.name === "power" ? entered("p") : 1;
    schedule.level = schedule.name === "constant" ? entered("level") : 0;
    const p = forms.problem({ rho: entered("rho"), r: entered("r"), s: entered("s"),
      K: entered("K"), schedule });
    const m = Number(field("m").value);
    const step = Math.min(entered("t"), p.T);
    const ways = [["plain", "plain training", forms.plainTraining(p)],
      ["hard", "self-distillation", forms.selfDistillation(p)]];
    if (field("soft").checked) {
      ways.push(["soft", "soft targets", forms.softSelfDistillation(p)]);
    }
    const curves = ways.map(([id, name, curve]) => ({ id, name, curve,
      error: forms.rmsError(p, curve), margin: forms.margin(p, curve),
      mean: finiteWidth.shift(p, curve).map((x) => x / Math.sqrt(m)),
      deviation: finiteWidth.scatter(p, curve).map((x) => x / Math.sqrt(m)) }));
    const lazy = forms.lazyWidth(p, curves[1].curve);
    return { p, m, step, curves, lazy, moved: Math.sqrt(lazy / m), asked: entered("rho"),
      thresholds: ROUNDS.map((k) => forms.chainThreshold(p.r, k)) };
  }

  // ------------------------------------------------------------ pictures

  // Axes of a picture in pixels. `x` and `y` have ticks and a place in [0, 1] for each value.
  function axes(svg, x, y) {
    const [width, height] = [svg.clientWidth || 320, svg.clientHeight || 224];
    const [left, right, top, bottom] = [40, width - 12, 10, height - 34];
    const px = (value) => left + (right - left) * x.place(value);
    const py = (value) => bottom - (bottom - top) * Math.min(1.05, Math.max(-0.05, y.place(value)));
    const draw = (tag, attributes, text = []) =>
      svg.append(element(tag, attributes, [].concat(text), true));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    y.ticks.forEach((tick) => {
      draw("line", { class: "axis", x1: left, x2: right, y1: py(tick), y2: py(tick) });
      draw("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, number(tick));
    });
    x.ticks.forEach((tick) => {
      draw("line", { class: "axis", x1: px(tick), x2: px(tick), y1: bottom, y2: bottom + 4 });
      draw("text", { x: px(tick), y: bottom + 16, "text-anchor": "middle" }, number(tick));
    });
    draw("text", { x: right, y: height - 4, "text-anchor": "end" }, x.title);
    return { px, py, left, right, top, bottom, draw };
  }

  function path(points) {
    return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  }

  // Steps on a scale of log(1 + t), and those of them that differ by a pixel or so.
  function stepAxis(T) {
    const ticks = [0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000].filter((t) => t <= T);
    return { title: "step t", ticks, place: (t) => Math.log1p(t) / Math.log1p(T) };
  }

  function shownSteps(T) {
    const step = (_, i) => Math.round(Math.expm1((i / 399) * Math.log1p(T)));
    return [...new Set(Array.from({ length: 400 }, step))];
  }

  function linear(low, high, ticks) {
    return { ticks, place: (value) => (value - low) / (high - low) };
  }

  function drawCurves(frame, { p, step, curves }, what) {
    const { px, py, draw } = frame;
    const shown = shownSteps(p.T);
    for (const one of what === "error" ? curves : []) {
      const edge = (sign) => shown.map((t) =>
        [px(t), py(one.error[t] + one.mean[t] + sign * 2 * one.deviation[t])]);
      const around = path([...edge(1), ...edge(-1).reverse()]);
      draw("path", { class: `band ${one.id}`, d: `${around}Z` });
    }
    draw("line", { class: "now", x1: px(step), x2: px(step), y1: frame.top, y2: frame.bottom });
    for (const one of curves) {
      const points = shown.map((t) => [px(t), py(one[what][t])]);
      draw("path", { class: `curve ${one.id}`, d: path(points) });
      draw("circle", { class: `dot ${one.id}`, r: 4, cx: px(step), cy: py(one[what][step]) });
    }
  }

  function rule({ draw, left, right, py }, value) {
    draw("line", { class: "rule", x1: left, x2: right, y1: py(value), y2: py(value) });
  }

  function drawError(now) {
    const top = Math.max(1, ...now.curves.map((one) => one.error.reduce((a, b) => Math.max(a, b))));
    const ticks = [0, 0.25, 0.5, 0.75, 1, 1.25].filter((tick) => tick <= top * 1.05);
    const frame = axes(byId("error"), stepAxis(now.p.T), linear(0, top * 1.05, ticks));
    rule(frame, 2 * now.p.rho);
    drawCurves(frame, now, "error");
  }

  function drawMargin(now) {
    const frame = axes(byId("margin"), stepAxis(now.p.T), linear(-1, 1.05, [-1, -0.5, 0, 0.5, 1]));
    rule(frame, 0);
    drawCurves(frame, now, "margin");
  }

  function drawPhase({ p, thresholds }) {
    const [low, high] = [1.1, 256];
    const place = (r) => Math.log(r / low) / Math.log(high / low);
    const x = { title: "ratio r", ticks: [2, 4, 8, 16, 32, 64, 128, 256], place };
    const frame = axes(byId("phase"), x, linear(0, 0.5, [0, 0.1, 0.2, 0.3, 0.4, 0.5]));
    const { px, py, draw } = frame;
    const ratios = Array.from({ length: 201 }, (_, i) => low * (high / low) ** (i / 200));
    const points = ROUNDS.map((k) => ratios.map((r) => [r, forms.chainThreshold(r, k)])
      .filter(([, rho]) => rho > 0).map(([r, rho]) => [px(r), py(rho)]));
    const corner = [[px(high), py(0)], [points[0][0][0], py(0)]];
    draw("path", { class: "region", d: `${path([...points[0], ...corner])}Z` });
    points.forEach((line, i) => {
      draw("path", { class: `curve chain k${i + 1}`, d: path(line) });
    });
    draw("line", { class: "now", x1: px(p.r), x2: px(p.r), y1: py(p.rho), y2: frame.bottom });
    draw("circle", { class: "here", r: 6, cx: px(p.r), cy: py(p.rho) });
    const below = ROUNDS.filter((k) => p.rho < thresholds[k - 1]);
    byId("phase-text").textContent = `The dot is r = ${number(p.r)}, ρ = ${number(p.rho)}: ` +
      (below.length ? `below ρ*${"₁₂₃"[below[0] - 1]}.` : "above all three.");
  }

  // ------------------------------------------------------------ words

  function lost(margins) {
    return margins.findIndex((margin, t) => t > 0 && margin <= 0);
  }

  function verdict({ p, thresholds, curves: [, hard] }) {
    const [threshold] = thresholds;
    if (p.rho >= threshold) {
      const k = ROUNDS.find((rounds) => p.rho < thresholds[rounds - 1]);
      return `Not recoverable: ρ = ${number(p.rho)} is not below ρ* = ${number(threshold)}. At ` +
        "every step plain training has some label wrong, and hard targets keep it. " + (k
        ? `A chain of ${k} stopped nets, each taught the outputs of the one before, can recover it.`
        : "Chains of up to three stopped nets cannot recover it either.");
    }
    const [wrong, until, end] = [lost(hard.margin), forms.firstWrongStep(p) - 1, hard.error.at(-1)];
    const steps = until === 1 ? "at step 1 alone" : `from step 1 to step ${until}`;
    const side = end < 2 * p.rho ? "below" : "not below";
    return `Recoverable: plain training has every label right ${steps}. ` + (wrong < 0
      ? `Self-distillation has every label right from step 1 on and ends with the error ` +
        `${number(end)}, ${side} the bound 2ρ = ${number(2 * p.rho)} of stopping.`
      : `Self-distillation under this schedule shows wrong labels from step ${wrong} on: ` +
        "its burn-in is too long, or its labels fade too slowly.");
  }

  // Wrong labels are whole: the noise rate that the data has may be below the one asked for.
  function fewer({ p, asked }) {
    return Math.abs(asked - p.rho) < 1e-9 ? ""
      : ` (${p.wrong} of ${p.s} labels of a cluster are wrong, ρ = ${number(p.rho)}.)`;
  }

  function best(error) {
    const least = error.reduce((a, b) => Math.min(a, b));
    return `${number(least)} at step ${error.indexOf(least)}`;
  }

  function writeTable({ p, m, step, curves }) {
    const rows = [["RMS error", (one) => number(one.error[step])],
      [`error of nets of width ${m}`, (one) => `${number(one.error[step] + one.mean[step])} ± ` +
        number(2 * one.deviation[step], 2)],
      ["least margin", (one) => number(one.margin[step])],
      ["every label right", (one) => (one.margin[step] > 0 ? "yes" : "no")],
      ["weight α of the labels", (one) => number(one.curve.alpha[Math.min(step, p.T - 1)])],
      ["least error of all steps", (one) => best(one.error)]];
    const cell = (tag, text, scope) => element(tag, scope ? { scope } : {}, [text]);
    const row = ([name, value]) => element("tr", {},
      [cell("th", name, "row"), ...curves.map((one) => cell("td", value(one)))]);
    byId("at").tHead.replaceChildren(element("tr", {}, [element("td"),
      ...curves.map((one) => cell("th", one.name, "col"))]));
    byId("at").tBodies[0].replaceChildren(...rows.map(row));
    document.querySelector("[data-out=t]").textContent = step;
  }

  function writeNumbers({ p, lazy, moved, thresholds }) {
    const chains = [" = ρ*, margin of 1 net", ", margin of 2 nets", ", margin of 3 nets"]
      .map((words, i) => [`ρ*${"₁₂₃"[i]}${words}`,
        `${number(thresholds[i], 4)}, ${number(forms.chainMargin(p.r, p.rho, i + 1), 4)}`]);
    const rows = [["points n", number(p.n)],
      ["wrong in each cluster, ρ", `${p.wrong} of ${p.s}, ${number(p.rho)}`],
      ["eigenvalues λ₋, λ₊", `${number(p.noise, 4)}, ${number(p.information, 4)}`],
      ["learning rate η", number(p.eta, 4)], ["steps T", number(p.T)],
      ["burn-in B, decay τ", `${p.schedule.burnIn}, ${number(p.schedule.decay, 4)}`],
      ["memorisation time t_mem", number(p.tMem, 4)],
      ["first wrong step", p.rho < thresholds[0] ? number(forms.firstWrongStep(p)) : "1"],
      ["bound 2ρ of stopping", number(2 * p.rho)], 
      ["error of plain training at last, 2√ρ", number(2 * Math.sqrt(p.rho))],
      ...chains, ["lazy width", number(Math.ceil(lazy))],
      ["movement √(lazy/m)",
        `${number(moved, 2)}, ${moved <= 0.5 ? "small" : "too narrow for the band"}`]];
    byId("numbers").replaceChildren(...rows.map(([name, value]) =>
      element("div", {}, [element("dt", {}, [name]), element("dd", {}, [value])])));
  }

  function scheduleText({ name, burnIn, decay, exponent, level }) {
    const own = { power: `,decay=${decay},exponent=${exponent}`, geometric: `,decay=${decay}`,
      constant: `,level=${level}`, agreement: "" };
    return `${name}:burn_in=${burnIn}${own[name]}`;
  }

  // A schedule that is the default follows from the problem there, too. Steps are given, as a
  // length that is whole but for rounding may round to the next number there.
  function command({ p, asked }) {
    const values = fields();
    const usual = ["schedule", "B", "tau", "p"].every((name) => values[name] === DEFAULTS[name]);
    return `python -m ntk_theory.verify convergence --clusters ${p.K} --points ${p.s} ` +
      `--ratio ${p.r} --noise-rate ${asked} --steps ${p.T}` +
      (usual ? "" : ` --schedule ${scheduleText(p.schedule)}`);
  }

  function describe({ step, curves }) {
    const said = (what) => curves.map((one) => `${one.name} ${number(one[what][step])}`).join(", ");
    byId("error-text").textContent = `At step ${step}: ${said("error")}.`;
    byId("margin-text").textContent = `At step ${step}: ${said("margin")}.`;
  }

  // ------------------------------------------------------------ all of it

  function refused(error) {
    byId("verdict").textContent = error.message;
    byId("verdict").className = "";
    for (const id of ["error", "margin", "phase", "numbers", "command"]) byId(id).replaceChildren();
    for (const id of ["error-text", "margin-text", "phase-text"]) byId(id).textContent = "";
    byId("at").tBodies[0].replaceChildren();
  }

  function render() {
    form.querySelectorAll("[data-for]").forEach((one) => {
      one.hidden = !one.dataset.for.split(" ").includes(field("schedule").value);
    });
    document.querySelector(".key.soft").hidden = !field("soft").checked;
    let now;
    try {
      now = scene();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refused(error);
      return;
    }
    form.querySelector("[data-of=t]").max = now.p.T;
    field("B").placeholder = now.p.schedule.burnIn;
    field("tau").placeholder = number(now.p.schedule.decay, 4);
    sliders().forEach(fieldToSlider);
    const kept = now.p.rho < now.thresholds[0] && lost(now.curves[1].margin) < 0;
    byId("verdict").textContent = verdict(now) + fewer(now);
    byId("verdict").className = kept ? "yes" : "";
    for (const one of [drawError, drawMargin, drawPhase, writeTable, writeNumbers, describe]) {
      one(now);
    }
    byId("command").textContent = command(now);
    byId("copied").textContent = "";
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(byId("command").textContent);
      byId("copied").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(byId("command"));
      byId("copied").textContent = "Selected: copy it with Ctrl+C or ⌘C.";
    }
  }

  field("m").append(...WIDTHS.map((m) => element("option", { value: m }, [String(m)])));
  form.addEventListener("input", ({ target }) => {
    if (target.dataset.of) sliderToField(target);
    toAddress();
    render();
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    fill({});
    toAddress();
    render();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("copy").addEventListener("click", copy);
  addEventListener("hashchange", fromAddress);
  let drawnAt = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== drawnAt) render();
    drawnAt = innerWidth;
  });
  fromAddress();
})();
