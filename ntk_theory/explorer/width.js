"use strict";
// The law of finite width of the RMS error on orthogonal clusters: u_m = u + m^{-1/2} (μ + G), by
// docs/theory.md, section 9.6; after forms.js. The standard deviation is a formula, the mean a sum
// over draws of a fixed low-discrepancy sequence.

const finiteWidth = (() => {
  // ------------------------------------------------------------ scatter, from H_m(0) − H


  // E[p^k], k = 0..4, of the probability p that a point is active given what its cluster shares:
  // orthant probabilities of k Gaussians of correlation cos θ, the last by Plackett's integral.
  function activity(angle) {
    const panels = 40;
    const [h, off] = [angle / panels, Math.sqrt(0.6) / 2];
    const slope = (x) => 0.25 + Math.asin(Math.cos(x) / (1 + 2 * Math.cos(x))) / (2 * Math.PI);
    let integral = 0;
    for (let i = 0.5; i < panels; i++) {
      integral += (h / 18) * (5 * slope((i - off) * h) + 8 * slope(i * h) +
        5 * slope((i + off) * h));
    }
    return [1, 0.5, 0.5 - angle / (2 * Math.PI), 0.5 - (3 * angle) / (4 * Math.PI),
      0.5 - (3 / Math.PI) * integral];
  }

  // E[N^i M^j] of the active points among those with right labels, N, and flipped ones, M.
  function moments(p) {
    const stirling = [[1], [0, 1], [0, 1, 1], [0, 1, 3, 1], [0, 1, 7, 6, 1]];
    const mean = activity(p.angle);
    const falling = (x, k) => (k === 0 ? 1 : (x - k + 1) * falling(x, k - 1));
    return (i, j) => {
      let sum = 0;
      stirling[i].forEach((one, a) => stirling[j].forEach((other, b) => {
        sum += one * other * falling(p.s - p.wrong, a) * falling(p.wrong, b) * mean[a + b];
      }));
      return sum;
    };
  }

  // Covariance of (y·Ξy, y·Ξζ, ζ·Ξζ) on one cluster, Ξ the limit of √m (H_m(0) − H): that of
  // cos θ S_a S_b + (1 − cos θ) S_ab, where S_a sums a over active points; times 2 for pairs.
  function kernelCovariance(p) {
    // Polynomials in N and M as lists of [coefficient, power of N, power of M].
    const sum = (a, b) => [[a, 1, 0], [b, 0, 1]];
    const times = (f, g) => f.flatMap(([c, i, j]) => g.map(([d, k, l]) => [c * d, i + k, j + l]));
    const moment = moments(p);
    const mean = (f) => f.reduce((total, [c, i, j]) => total + c * moment(i, j), 0);
    const [y, zeta] = [[1, 1], [2 * p.rho, -2 * (1 - p.rho)]];
    const cosine = Math.cos(p.angle);
    const gap = 2 * Math.sin(p.angle / 2) ** 2;
    const sums = [[y, y], [y, zeta], [zeta, zeta]].map(([a, b]) => [
      ...times([[cosine, 0, 0]], times(sum(...a), sum(...b))),
      ...sum(gap * a[0] * b[0], gap * a[1] * b[1]),
    ]);
    return sums.map((f) => sums.map((g) => 2 * (mean(times(f, g)) - mean(f) * mean(g))));
  }

  // √m times the standard deviation of the RMS error, to leading order: the response of e_t/(n ‖e‖)
  // to −ηΞ r_τ at every step before, in each of K independent clusters.
  function scatter(p, one) {
    const [C, error] = [kernelCovariance(p), forms.rmsError(p, one)];
    let [yA, yB, zA, zB] = [0, 0, 0, 0];
    return error.map((size, t) => {
      if (t > 0) {
        const [fast, slow] = [1 - p.fast * one.own[t - 1], 1 - p.slow * one.own[t - 1]];
        [yA, yB] = [fast * yA + one.A[t - 1], fast * yB + one.B[t - 1]];
        [zA, zB] = [slow * zA + one.A[t - 1], slow * zB + one.B[t - 1]];
      }
      const [E, q] = [one.E[t], one.q[t]];
      const w = [E * yA, E * yB + q * zA, q * zB];
      const square = w.reduce((sum, a, i) =>
        sum + w.reduce((inner, b, j) => inner + a * b * C[i][j], 0), 0);
      return size === 0 ? 0 : (p.eta / (p.s * size)) * Math.sqrt(Math.max(square, 0) / p.K);
    });
  }

  // ------------------------------------------------------------ mean, from changed activations

  // Element of a van der Corput sequence: numbers that fill (0, 1) evenly.
  function vanDerCorput(index, base) {
    let [value, digit] = [0, 1 / base];
    for (let i = index; i > 0; i = Math.floor(i / base), digit /= base) value += digit * (i % base);
    return value;
  }

  // Φ(x), to 1e-7 (Abramowitz and Stegun, 26.2.17).
  function normalShare(x) {
    const t = 1 / (1 + 0.2316419 * Math.abs(x));
    const series = [1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.31938153];
    const tail = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) *
      series.reduce((sum, c) => (sum + c) * t, 0);
    return x > 0 ? 1 - tail : tail;
  }

  // How many of `count` points are active, each with the probability `share`: quantile of u.
  function binomial(count, share, u) {
    let [k, chance] = [0, (1 - share) ** count];
    for (let below = chance; below < u && k < count; below += chance) {
      chance *= ((count - k) / (k + 1)) * (share / (1 - share));
      k += 1;
    }
    return k;
  }

  // Neurons near the hyperplane of a point: ξ is drawn where it changes side, for both signs and
  // both states at the start. Adds to `found` what they add to y- and ζ-sums of their cluster.
  // `others` is how far the other points push in each step, `own` what the point itself adds.
  function addLayer(found, others, own, u, reach, at) {
    const T = own.length;
    let [drift, moved, down, up, downOn, upOn] = [0, 0, 0, 0, 0, 0];
    for (let t = 0; t < T; t++) {
      drift += others[t];
      moved += others[t] + own[t];
      [down, up] = [Math.max(down, -drift), Math.max(up, drift)];
      [downOn, upOn] = [Math.max(downOn, -moved), Math.max(upOn, moved)];
    }
    for (const [far, sign, on] of [[downOn, 1, 1], [up, 1, 0], [upOn, -1, 1], [down, -1, 0]]) {
      let xi = on ? far * u : -far * u;
      for (let t = 0; t < T && far > 0; t++) {
        const active = xi > 0 ? 1 : 0;
        const after = xi + sign * (others[t] + own[t] * active);
        const rise = Math.max(after, 0) - Math.max(xi, 0) - sign * on * (others[t] + own[t]);
        const [gained, kink] = [far * (active - on) * own[t] / 2, far * sign * rise / 2];
        found.y[t] += gained * reach[0] + kink * at[0];
        found.zeta[t] += gained * reach[1] + kink * at[1];
        xi = after;
      }
    }
  }

  // √m times the mean increments b_t of a cluster, summed along y and ζ (9.5, 9.6). Given that one
  // point is on the hyperplane, the others have correlation c/(1 + c), c = cos θ.
  function boundary(p, one, draws) {
    const cosine = Math.cos(p.angle);
    const zeta = [2 * p.rho, -2 * (1 - p.rho)];
    const pulls = zeta.map((z) => one.A.map((a, t) => -p.eta * (a + z * one.B[t])));
    const found = { y: new Float64Array(p.T), zeta: new Float64Array(p.T) };
    const counts = [p.s - p.wrong, p.wrong];
    for (const kind of [0, 1]) {
      const share = counts[kind] / (draws * Math.sqrt(2 * Math.PI));
      for (let i = 1; i <= draws; i++) {
        const [u, angle, first, second, start] = [2, 3, 5, 7, 11].map((b) => vanDerCorput(i, b));
        const common = Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * angle);
        const chance = normalShare(Math.sqrt(cosine) * common);
        const [N, M] = [binomial(counts[0] - (kind === 0), chance, first),
          binomial(counts[1] - (kind === 1), chance, second)];
        const others = pulls[0].map((pull, t) => cosine * (N * pull + M * pulls[1][t]));
        const reach = [N + M, N * zeta[0] + M * zeta[1]].map((x) => share * cosine * x);
        addLayer(found, others, pulls[kind], start, reach, [share, share * zeta[kind]]);
      }
    }
    return found;
  }

  // √m times the mean of the RMS error less that of the limit, to leading order.
  function shift(p, one, draws = Math.min(256, Math.max(32, Math.floor(4e5 / p.T)))) {
    const [b, error] = [boundary(p, one, draws), forms.rmsError(p, one)];
    let [y, zeta] = [0, 0];
    return error.map((size, t) => {
      if (t > 0) {
        y = (1 - p.fast * one.own[t - 1]) * y + b.y[t - 1];
        zeta = (1 - p.slow * one.own[t - 1]) * zeta + b.zeta[t - 1];
      }
      return size === 0 ? 0 : (one.E[t] * y + one.q[t] * zeta) / (p.s * size);
    });
  }

  return { scatter, shift };
})();
