"use strict";
// Closed forms on orthogonal clusters with a share ρ of wrong labels, as in ntk_theory.predictions.
// Nothing here knows of a page. Sections are those of docs/theory.md. Letters: rho the noise rate
// that the data has, r = λ_+/λ_−, s points in each of K clusters, eta the learning rate, T steps.
// Orthogonal clusters have λ_0 = λ_+, so no curve depends on the mean of the labels (3.1).

const forms = (() => {
  // ------------------------------------------------------------ the kernel (2, 3.1)

  // κ(0) − κ(θ) of the limiting NTK, without cancellation.
  function ntkGap(angle) {
    const half = Math.sin(angle / 2);
    return (2 * Math.PI * half * half + angle * Math.cos(angle)) / (2 * Math.PI);
  }

  // Angle inside a cluster whose gap is λ_−: the gap rises on [0, π/2], so halving finds it.
  function angleOfGap(gap) {
    let [low, high] = [0, Math.PI / 2];
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      if (ntkGap(middle) < gap) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  // λ_− = s (κ(1) − κ(a)) / (s + r − 1) with κ(1) − κ(a) = 1/2; λ_+ = λ_− + s (κ(θ) − κ(a)).
  function spectrum(s, r) {
    const noise = (s * 0.5) / (s + r - 1);
    return { noise, information: noise + s * (0.5 - noise), angle: angleOfGap(noise) };
  }

  // ------------------------------------------------------------ thresholds (6.4, 6.8)

  // ρ*_k = (r^k − 2) / (2 (r^k − 1)): what k stopped nets in a row can undo; ρ* for one.
  function chainThreshold(r, rounds) {
    const sharpened = r ** rounds;
    return (sharpened - 2) / (2 * (sharpened - 1));
  }

  // Least y_i u_i over the size of the outputs after k rounds of one step each.
  function chainMargin(r, rho, rounds) {
    const [signal, noise] = [(1 - 2 * rho) * r ** rounds, 2 * (1 - rho)];
    return (signal - noise) / Math.hypot(signal, Math.sqrt(2 * rho * noise));
  }

  // g_λ(t) = 1 − (1 − ηλ)^t, without cancellation where ηλ is small (6.1).
  function retrieved(rate, t) {
    return rate < 1 ? -Math.expm1(t * Math.log1p(-rate)) : 1 - (1 - rate) ** t;
  }

  // t_mem = log(2(1 − ρ)) / −log(1 − ηλ_−) in steps.
  function memorisationTime(rho, rate) {
    return rho >= 0.5 || rate >= 1 ? 0 : Math.log(2 * (1 - rho)) / -Math.log1p(-rate);
  }

  // First t >= 1 with (1 − 2ρ) g_+ <= 2(1 − ρ) g_−; the ratio of the filters falls, so halving.
  function firstWrongStep(p) {
    const fallen = (t) =>
      (1 - 2 * p.rho) * retrieved(p.fast, t) <= 2 * (1 - p.rho) * retrieved(p.slow, t);
    let last = 1;
    while (!fallen(last)) last *= 2;
    let first = Math.floor(last / 2);
    while (last - first > 1) {
      const middle = Math.floor((first + last) / 2);
      if (fallen(middle)) last = middle;
      else first = middle;
    }
    return last;
  }

  // ------------------------------------------------------------ what follows from a setting (7.3)

  // ηλ_+ in [1/4, 1], towards t_mem = 40 steps.
  function learningRate(rho, r, information) {
    const wanted = (Math.log(2 * (1 - rho)) * r) / 40;
    return Math.min(Math.max(wanted, 0.25), 1) / information;
  }

  // Half to even, as Python rounds.
  function round(x) {
    return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
  }

  // All numbers of a problem. The setting: rho asked for, r, s, K, and a schedule {name, exponent,
  // level, burnIn, decay}, of which the last two follow from t_mem where they are null.
  function problem({ rho: asked, r, s, K, schedule }) {
    // 1e-9 keeps 0.29 · 100 = 28.999... at 29.
    const wrong = Math.floor(asked * s + 1e-9);
    if (wrong < 1) {
      const least = Number((1 / s).toPrecision(3));
      throw new RangeError(`a noise rate of ${asked} is less than one of ${s} labels: take ` +
        `at least ${least}, or more points`);
    }
    const [rho, levels] = [wrong / s, spectrum(s, r)];
    const eta = learningRate(rho, r, levels.information);
    const [slow, fast] = [eta * levels.noise, eta * levels.information];
    const tMem = memorisationTime(rho, slow);
    const burnIn = schedule.burnIn ?? Math.max(1, round(tMem / 4));
    const decay = schedule.decay ?? Math.max(tMem / 4, 0.25);
    const T = Math.max(Math.ceil(12 / Math.min(slow, 1)), 4 * (burnIn + 1));
    const n = K * s;
    return { ...levels, rho, r, s, K, n, wrong, eta, slow, fast, tMem, T,
      schedule: { ...schedule, burnIn, decay } };
  }

  // α_t (4); of the agreement schedule from the outputs at points with right and wrong labels.
  function weight({ name, burnIn, decay, exponent, level }, t, rho, right, flipped) {
    const after = t - burnIn;
    if (after < 0) return 1;
    if (name === "power") return (1 + after / decay) ** -exponent;
    if (name === "geometric") return Math.exp(-after / decay);
    if (name === "constant") return level;
    return 1 - (1 - rho) * (right > 0) - rho * (flipped < 0);
  }

  // ------------------------------------------------------------ curves (6.2, 7.2)

  // A curve: E and q at steps 0..T, u_t = (1 + E) y + q ζ; and for each step residuals A y + B ζ,
  // α, and the share `own` of a deviation of the outputs that its own residual has (1, soft: α).
  function curve(p, step) {
    const [E, q] = [new Float64Array(p.T + 1), new Float64Array(p.T + 1)];
    const [A, B, alpha, own] = [0, 1, 2, 3].map(() => new Float64Array(p.T));
    E[0] = -1;
    for (let t = 0; t < p.T; t++) {
      [A[t], B[t], alpha[t], own[t]] = step(E[t], q[t], t);
      E[t + 1] = E[t] - p.fast * A[t];
      q[t + 1] = q[t] - p.slow * B[t];
    }
    return { E, q, A, B, alpha, own };
  }

  // Outputs y_i u_i at points with right labels and at flipped ones (6.2).
  function outputs(rho, E, q) {
    return [1 + E + 2 * rho * q, 1 + E - 2 * (1 - rho) * q];
  }

  // Gradient descent on the observed labels: E = −1 + (1 − 2ρ) g_+, q = g_− (6.2).
  function plainTraining(p) {
    return curve(p, (E, q) => [E + 2 * p.rho, q - 1, 1, 1]);
  }

  // Hard targets, whatever signs occur: the recursion of section 8, in which all points of a kind
  // have one output. While signs are right it is E' = (1 − ηλ_+) E − 2ρ ηλ_+ α and
  // q' = (1 − ηλ_−) q + ηλ_− α (7.2).
  function selfDistillation(p) {
    return curve(p, (E, q, t) => {
      const [right, flipped] = outputs(p.rho, E, q);
      const alpha = weight(p.schedule, t, p.rho, right, flipped);
      const [z, zFlipped] = [alpha + (1 - alpha) * Math.sign(right),
        -alpha + (1 - alpha) * Math.sign(flipped)];
      const noise = (z - zFlipped) / 2;
      return [1 + E - (z - 2 * p.rho * noise), q - noise, alpha, 1];
    });
  }

  // Soft targets: plain training at the learning rate η α_t (5).
  function softSelfDistillation(p) {
    return curve(p, (E, q, t) => {
      const alpha = weight(p.schedule, t, p.rho, ...outputs(p.rho, E, q));
      return [alpha * (E + 2 * p.rho), alpha * (q - 1), alpha, alpha];
    });
  }

  // ‖u_t − y‖/√n = sqrt(E² + 4ρ(1 − ρ) q²) (6.2).
  function rmsError(p, { E, q }) {
    const variance = 4 * p.rho * (1 - p.rho);
    return E.map((e, t) => Math.sqrt(e * e + variance * q[t] * q[t]));
  }

  // min_i y_i u_i.
  function margin(p, { E, q }) {
    return E.map((e, t) => Math.min(...outputs(p.rho, e, q[t])));
  }

  // m_lazy = n 4ρ(1 − ρ) max q² / (λ_− θ²), a heuristic scale (9.4).
  function lazyWidth(p, { q }) {
    const most = q.reduce((a, b) => Math.max(a, b), 0);
    return (p.n * 4 * p.rho * (1 - p.rho) * most * most) / (p.noise * p.angle * p.angle);
  }

  return { chainMargin, chainThreshold, firstWrongStep, lazyWidth, margin, plainTraining,
    problem, rmsError, selfDistillation, softSelfDistillation };
})();
