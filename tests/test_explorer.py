"""The explorer: its script computes what the predictions say, and a browser shows it to anybody."""

import json
import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest

import ntk_theory as nt
from browser import asked
from how_much import again
from ntk_theory import predictions, targets
from ntk_theory.command.parser import parsed
from ntk_theory.explorer.__main__ import main, page
from ntk_theory.predictions.fluctuations import Teaching, finite_width_law

NODE = shutil.which("node")
SETTINGS = 1000

# What the page's own scripts say of settings, at some steps of each.
BATCH = """
const found = (setting) => {
  const p = forms.problem(setting);
  const at = setting.at.map((share) => Math.round(share * p.T));
  const seen = (curve) => {
    const [error, margin] = [forms.rmsError(p, curve), forms.margin(p, curve)];
    return { error: at.map((t) => error[t]), margin: at.map((t) => margin[t]),
      q: at.map((t) => curve.q[t]) };
  };
  const hard = forms.selfDistillation(p);
  return { T: p.T, burnIn: p.schedule.burnIn, decay: p.schedule.decay, rho: p.rho, eta: p.eta,
    noise: p.noise, information: p.information, angle: p.angle, tMem: p.tMem,
    wrong: forms.firstWrongStep(p), lazy: forms.lazyWidth(p, hard),
    thresholds: [1, 2, 3].map((k) => forms.chainThreshold(p.r, k)),
    margins: [1, 2, 3].map((k) => forms.chainMargin(p.r, p.rho, k)),
    plain: seen(forms.plainTraining(p)), hard: seen(hard),
    soft: seen(forms.softSelfDistillation(p)) };
};
"""


def random_settings(rng):
    """Settings of all schedules, below and above the threshold, with and without defaults."""
    for _ in range(SETTINGS):
        rho = rng.uniform(0.03, 0.49)
        name = str(rng.choice(["power", "geometric", "constant", "agreement"]))
        given = rng.random() < 0.5
        yield {
            "rho": rho,
            "r": float(np.exp(rng.uniform(np.log(1.2), np.log(60)))),
            "s": int(rng.integers(max(2, np.ceil(1 / rho)), 41)),
            "K": int(rng.integers(2, 6)),
            "schedule": {
                "name": name,
                "burnIn": int(rng.integers(1, 30)) if given else None,
                "decay": float(rng.uniform(0.5, 50)) if given else None,
                "exponent": float(rng.uniform(0.3, 2)) if given else 1.0,
                "level": float(rng.uniform(0, 0.6)),
            },
            "at": [0.0, *np.exp(-rng.uniform(0, 6, 8)), 1.0],
        }


def schedule_text(schedule):
    """A schedule as the command line has it."""
    keys = {
        "power": ("burnIn", "decay", "exponent"),
        "geometric": ("burnIn", "decay"),
        "constant": ("burnIn", "level"),
        "agreement": ("burnIn",),
    }[schedule["name"]]
    pairs = [
        f"{key.replace('I', '_i')}={schedule[key]}" for key in keys if schedule[key] is not None
    ]
    return ":".join([schedule["name"], ",".join(pairs)]) if pairs else schedule["name"]


def problem_of(setting):
    """The same problem in Python."""
    return nt.noisy_clusters(
        clusters=setting["K"], points=setting["s"], ratio=setting["r"], seed=0,
        noise_rate=setting["rho"], schedule=schedule_text(setting["schedule"]),
    )  # fmt: skip


def scripts():
    """Scripts of the page that know of no page, as they stand in it."""
    found = dict(re.findall(r'<script id="(\w+)">\n(.*?)</script>', page(), re.DOTALL))
    return found["forms"] + found["width"]


def in_node(program):
    """What a program leaves in `answer`."""
    if NODE is None:
        pytest.skip("no node on this machine")
    text = f"{scripts()}{program}\nprocess.stdout.write(JSON.stringify(answer));"
    done = subprocess.run([NODE, "-"], input=text, capture_output=True, encoding="utf-8",
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_browser(browse, folder, program, *flags, fragment="", width=None):
    """What a program leaves in `answer` after the page has been shown."""
    shown, frame = folder / "page.html", folder / "frame.html"
    probe = f"{program}\ndocument.documentElement.dataset.answer = JSON.stringify(answer);"
    text = page().replace("</body>", f"<script>onload = () => {{ {probe} }};</script></body>")
    shown.write_text(text, encoding="utf-8", newline="\n")
    # A headless window has a least width; a frame has not.
    frame.write_text(
        f'<iframe src="page.html{fragment}" style="width:{width}px;height:900px;border:0"></iframe>'
        "<script>onload = () => { document.documentElement.dataset.answer = "
        "frames[0].document.documentElement.dataset.answer; };</script>",
        encoding="utf-8",
        newline="\n",
    )
    flags = ("--dump-dom", "--allow-file-access-from-files", "--virtual-time-budget=5000", *flags)
    done = browse(frame if width else shown, *flags, fragment="" if width else fragment)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stderr
    answer = re.search(r'<html[^>]* data-answer="(.*?)"', done.stdout, re.DOTALL)[1]
    return json.loads(answer.replace("&quot;", '"').replace("&amp;", "&"))


@pytest.fixture
def compute(request, tmp_path):
    """Runs a program with the page's scripts where that is quickest."""
    if NODE is not None:
        return in_node
    browse = request.getfixturevalue("browse")
    return lambda program: in_browser(browse, tmp_path, program)


# ---------------------------------------------------------------- against the predictions


@pytest.fixture(scope="module")
def settings():
    return list(random_settings(np.random.default_rng(0)))


@pytest.fixture(scope="module")
def problems(settings):
    return [problem_of(setting) for setting in settings]


def weights_of(problem):
    """α_t; with every sign right the agreement schedule has α = ρ."""
    schedule = problem.distillation.schedule
    if isinstance(schedule.then, targets.Agreement):
        schedule = targets.BurnIn(schedule.steps, targets.Constant(problem.noise_rate))
    return targets.weights(schedule, problem.steps)


def taught_wrongly(problem, last):
    """Outputs of self-distillation at steps up to `last`, whatever signs occur (section 8)."""
    observed, u = problem.dataset.observed, np.zeros(len(problem.dataset.observed))
    found, schedule = [u], problem.distillation.schedule
    for t in range(last):
        if isinstance(schedule.then, targets.Agreement) and t >= schedule.steps:
            weight = 1 - np.mean(np.sign(u) == observed)
        else:
            weight = schedule.weight(t)
        u = predictions.block_recursion(
            problem.spectrum, observed, problem.learning_rate, [weight], u
        )
        found.append(u)
    return np.stack(found)


def steps_of(setting, problem):
    """Which steps of it the program looks at."""
    return [int(np.floor(share * problem.steps + 0.5)) for share in setting["at"]]


def same(found, wanted, scale=None):
    """Equal to 1e-9 of the scale: thousands of steps of rounding, where a wrong formula has 1."""
    scale = np.abs(wanted).max() if scale is None else scale
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * scale)


def same_curve(found, curve, at):
    """The outputs at some steps, whose scale is that of the labels, 1."""
    same(found["error"], curve.rms_error()[at], 1)
    same(found["margin"], curve.margin()[at], 1)
    same(found["q"], curve.memorised_noise[at], 1)


def compare(setting, problem, found):
    """One setting, but for hard targets; returns whether all signs are right there, too."""
    level, rho, rate = problem.spectrum, problem.noise_rate, problem.learning_rate
    then = problem.distillation.schedule.then
    assert (found["T"], found["burnIn"]) == (problem.steps, problem.burn_in)
    assert found["wrong"] == problem.first_wrong_step()
    if isinstance(then, targets.Power | targets.Geometric):
        same(found["decay"], then.decay)
    for name, wanted in (("rho", rho), ("eta", rate), ("noise", level.noise),
                         ("information", level.information), ("angle", problem.angle),
                         ("tMem", problem.memorisation_time)):  # fmt: skip
        same(found[name], wanted)
    ratio = setting["r"]
    same(found["thresholds"], [predictions.chain_threshold(ratio, k) for k in (1, 2, 3)])
    same(found["margins"], [predictions.chain_margin(ratio, rho, k) for k in (1, 2, 3)])
    at = steps_of(setting, problem)
    same_curve(found["plain"], problem.plain, at)
    weights, mean = weights_of(problem), problem.label_mean
    if not isinstance(then, targets.Agreement):
        soft = predictions.soft_self_distillation(level, rho, rate, weights, mean)
        same_curve(found["soft"], soft, at)
    hard = predictions.self_distillation(level, rho, rate, weights, mean)
    if hard.margin()[problem.first_taught :].min() <= 0:
        return False
    same_curve(found["hard"], hard, at)
    most = hard.memorised_noise.max()
    same(found["lazy"], predictions.lazy_width(level, problem.angle, rho, most))
    return True


def batch(settings):
    """The program that looks at all settings."""
    return f"{BATCH} const answer = {json.dumps(settings)}.map(found);"


@pytest.mark.parametrize("engine", ["node", "browser"])
def test_the_script_of_the_page_agrees_with_the_predictions_on_1000_settings(
    engine, settings, problems, request, tmp_path
):
    if engine == "node":
        answers = in_node(batch(settings))
    else:
        answers = in_browser(request.getfixturevalue("browse"), tmp_path, batch(settings))
    right = [compare(*each) for each in zip(settings, problems, answers, strict=True)]
    # Both kinds are frequent among them.
    assert min(sum(right), SETTINGS - sum(right)) > SETTINGS / 5


def test_where_labels_are_taught_wrongly_the_script_is_the_recursion_over_clusters(
    settings, problems, compute
):
    answers, compared = compute(batch(settings)), set()
    for setting, problem, found in zip(settings, problems, answers, strict=True):
        name = setting["schedule"]["name"]
        if problem.noise_rate < problem.threshold or problem.steps > 300 or len(compared) > 40:
            continue
        u = taught_wrongly(problem, problem.steps)[steps_of(setting, problem)]
        clean = problem.dataset.clean
        same(found["hard"]["error"], np.sqrt(np.mean((u - clean) ** 2, axis=1)), 1)
        same(found["hard"]["margin"], (u * clean).min(axis=1), 1)
        compared.add((name, problem.steps))
    assert {name for name, _ in compared} == {"power", "geometric", "constant", "agreement"}


def test_steps_that_are_whole_but_for_rounding_are_off_by_one_at_most(compute):
    schedule = {"name": "power", "burnIn": None, "decay": None, "exponent": 1, "level": 0}
    grid = [{"rho": 0.3, "r": r, "s": 10, "K": 6, "schedule": schedule, "at": [1]}
            for r in range(2, 40)]  # fmt: skip
    found = [one["T"] for one in compute(batch(grid))]
    off = [problem_of(one).steps - steps for one, steps in zip(grid, found, strict=True)]
    assert set(off) <= {-1, 0, 1}


BAND = """
const answer = settings.map((setting) => {
  const p = forms.problem(setting);
  return [forms.plainTraining(p), forms.selfDistillation(p), forms.softSelfDistillation(p)].map(
    (one) => ({ deviation: [...finiteWidth.scatter(p, one)], alpha: [...one.alpha],
      shown: [...finiteWidth.shift(p, one)], mean: [...finiteWidth.shift(p, one, 4096)] }));
});
"""


@pytest.mark.parametrize(
    ("K", "s", "r", "rho"), [pytest.param(2, 6, 5.1, 0.2, marks=again), (3, 4, 3.3, 0.25)]
)
def test_the_band_is_that_of_the_law_of_finite_width(compute, K, s, r, rho):
    schedule = {"name": "power", "burnIn": None, "decay": None, "exponent": 1, "level": 0}
    setting = {"rho": rho, "r": r, "s": s, "K": K, "schedule": schedule}
    (answer,) = compute(f"const settings = {json.dumps([setting])}; {BAND}")
    problem = problem_of(setting)
    soft = predictions.soft_self_distillation(
        problem.spectrum, problem.noise_rate, problem.learning_rate, problem.weights
    )
    curves = (problem.plain, "hard"), (problem.distilled, "hard"), (soft, "soft")
    for (curve, target), found in zip(curves, answer, strict=True):
        limit = curve.outputs(problem.dataset.clean, problem.dataset.flipped)
        error = limit - problem.dataset.clean
        along = error / (np.linalg.norm(error, axis=1, keepdims=True) * np.sqrt(error.shape[1]))
        observed = np.asarray(problem.dataset.observed, dtype=float)[:, None]
        teaching = Teaching(observed, np.array(found["alpha"]), target)
        rates, count, groups = np.full(problem.steps, problem.learning_rate), 2000, 12
        rng = np.random.default_rng(1)
        deviation = np.std(
            (finite_width_law(problem.dataset.inputs, limit, rates, teaching, rng, count=count,
                              draws=1).scatter[..., 0] * along).sum(axis=-1), axis=0,
        )  # fmt: skip
        # The standard error of a standard deviation is its share 1/√(2 count); five of them.
        np.testing.assert_allclose(found["deviation"], deviation, rtol=5 / np.sqrt(2 * count))
        means = np.stack([
            (finite_width_law(problem.dataset.inputs, limit, rates, teaching, rng, count=1,
                              draws=200).mean[..., 0] * along).sum(axis=-1) for _ in range(groups)
        ])  # fmt: skip
        mean, scale = means.mean(axis=0), np.abs(means.mean(axis=0)).max()
        # Five standard errors of these draws; thousands of even ones are off by less than 1 %.
        room = 5 * means.std(axis=0, ddof=1) / np.sqrt(groups) + 0.01 * scale
        assert (np.abs(found["mean"] - mean) <= room).all()
        # The page takes fewer, and says that they are a few per cent off.
        assert np.abs(np.subtract(found["shown"], found["mean"])).max() <= 0.1 * scale


# ---------------------------------------------------------------- in a browser


def test_the_page_loads_without_an_error_and_asks_the_network_for_nothing(browse, tmp_path):
    file = tmp_path / "explorer.html"
    assert main([str(file)]) == 0
    assert asked(browse, file, tmp_path / "log.json") == ([], set())


MOVES = """
const text = (id) => document.getElementById(id).textContent;
const shape = (selector, name) => document.querySelector(selector)?.getAttribute(name);
const see = () => ({ error: shape("#error .curve.hard", "d"), band: shape("#error .band.hard", "d"),
  margin: shape("#margin .curve.plain", "d"), now: shape("#error .now", "x1"),
  here: shape("#phase .here", "cx") + shape("#phase .here", "cy"),
  curves: document.querySelectorAll("#error .curve").length, command: text("command"),
  numbers: text("numbers"), verdict: text("verdict"), hash: location.hash });
const set = (selector, value) => {
  const input = document.querySelector(selector);
  if (input.type === "checkbox") input.checked = value;
  else input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  return see();
};
"""


def test_every_field_changes_what_is_shown_and_the_address(browse, tmp_path):
    moves = {
        "rho": ("[data-of=rho]", 0.2), "r": ("[data-of=r]", 36), "s": ("[data-of=s]", 20),
        "K": ("[data-of=K]", 9), "m": ("#m", "1024"), "t": ("[data-of=t]", 100),
        "soft": ("#soft", True), "B": ("#B", 12), "tau": ("#tau", 30), "p": ("#p", 0.5),
        "geometric": ("#schedule", "geometric"), "constant": ("#schedule", "constant"),
        "level": ("#level", 0.4), "agreement": ("#schedule", "agreement"),
        "chain": ("#r", 1.8), "hopeless": ("#rho", 0.49), "refused": ("#rho", 0.01),
        "text": ("#rho", ""),
    }  # fmt: skip
    program = f"""{MOVES} const [moves, before, seen] = [{json.dumps(moves)}, see(), {{}}];
    for (const [name, move] of Object.entries(moves)) seen[name] = set(...move);
    document.querySelector("[type=reset]").click();
    const answer = {{ before, seen, after: see() }};"""
    answer = in_browser(browse, tmp_path, program)
    before, seen = answer["before"], answer["seen"]
    changed, last = {}, before
    for name, now in seen.items():
        changed[name], last = {key for key in now if now[key] != last[key]}, now
    for name in ("rho", "r"):
        assert changed[name] >= set(before) - {"curves", "now"}
    assert {"numbers", "command", "hash"} <= changed["s"] & changed["K"]
    assert changed["m"] == {"band", "numbers", "hash"}
    assert changed["t"] == {"now", "hash"}
    assert changed["soft"] == {"curves", "hash"}
    for name in ("B", "tau", "p", "geometric", "constant", "level", "agreement"):
        assert {"error", "command", "hash"} <= changed[name], name
    assert before["verdict"].startswith("Recoverable: plain training has every label right from")
    assert "A chain of 2 stopped nets" in seen["chain"]["verdict"]
    assert "three stopped nets cannot recover it either" in seen["hopeless"]["verdict"]
    assert "(9 of 20 labels of a cluster are wrong, ρ = 0.45.)" in seen["hopeless"]["verdict"]
    assert seen["refused"]["verdict"].startswith("a noise rate of 0.01 is less than one of 20 lab")
    assert seen["text"]["verdict"] == "Noise rate ρ: a number from 0.01 to 0.49 is wanted"
    assert seen["text"]["command"] == ""
    assert answer["after"] == before


def test_an_address_is_a_setting_and_the_command_shown_checks_just_that(browse, tmp_path):
    address = "#rho=0.2&r=12&s=20&K=4&schedule=constant&level=0.3&B=9&m=nonsense&x=1"
    answer = in_browser(browse, tmp_path, f"{MOVES} const answer = see();", fragment=address)
    program, *words = shlex.split(answer["command"])[2:]
    assert (program, words[0]) == ("ntk_theory.verify", "convergence")
    options = parsed(words)
    problem = nt.noisy_clusters(**options.given, seed=0)
    assert options.given | {"schedule": problem.schedule_text} == {
        "clusters": 4, "points": 20, "ratio": 12.0, "noise_rate": 0.2, "steps": problem.steps,
        "schedule": "constant:burn_in=9,level=0.3",
    }  # fmt: skip
    found = nt.noisy_clusters(**{k: v for k, v in options.given.items() if k != "steps"}, seed=0)
    assert abs(found.steps - problem.steps) <= 1


LOOK = """
const wide = document.documentElement.scrollWidth;
const controls = [...document.querySelectorAll("input, select, button, pre")];
const named = (one) => one.textContent.trim() || one.ariaLabel || one.labels?.length;
const plain = (one) => getComputedStyle(one);
const answer = { wide, window: innerWidth, loaded: performance.now(),
  nameless: controls.filter((one) => !named(one)).map((one) => one.id),
  unreachable: controls.filter((one) => one.tabIndex < 0).map((one) => one.id),
  pictures: [...document.querySelectorAll("figure svg")].map((one) => one.clientWidth),
  said: [...document.querySelectorAll("figure svg")].map((one) =>
    document.getElementById(one.getAttribute("aria-labelledby")).textContent),
  paper: plain(document.body).backgroundColor, ink: plain(document.body).color };
"""


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_a_phone_and_a_desk_and_needs_no_mouse(browse, tmp_path, width):
    seen = in_browser(browse, tmp_path, LOOK, width=width)
    assert seen["window"] == width
    assert seen["wide"] <= width
    assert all(260 < picture <= width for picture in seen["pictures"])
    assert (seen["nameless"], seen["unreachable"]) == ([], [])
    assert all(text.startswith(("At step 40: plain training", "The dot")) for text in seen["said"])


def test_the_page_is_dark_where_that_is_preferred(browse, tmp_path):
    light, dark = (
        in_browser(browse, tmp_path, LOOK, f"--blink-settings=preferredColorScheme={scheme}")
        for scheme in (1, 0)
    )
    brightness = {
        (mode, name): sum(map(int, re.findall(r"\d+", seen[name])[:3])) / 765
        for mode, seen in (("light", light), ("dark", dark))
        for name in ("paper", "ink")
    }
    assert brightness["light", "paper"] > 0.9 > 0.2 > brightness["light", "ink"]
    assert brightness["dark", "ink"] > 0.9 > 0.2 > brightness["dark", "paper"]


# ---------------------------------------------------------------- the command


def test_the_command_writes_one_file_that_names_no_other(tmp_path, capsys):
    file = tmp_path / "explorer.html"
    assert main([str(file)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    text = file.read_text(encoding="utf-8")
    assert text == page()
    assert nt.__version__ in text
    assert "{{" not in text
    assert not re.findall(
        r"(?:src|href)=\"(?!data:)|@import|url\(|https?://(?!www.w3.org/2000)", text
    )
    assert [one.name for one in tmp_path.iterdir()] == ["explorer.html"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "the following arguments are required: FILE.html"),
        (["page.txt"], "FILE.html must end in .html; got page.txt"),
        (["no/such/page.html"], "FILE.html must be a file in a folder that is there"),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(words, complaint, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_disk_that_refuses_the_page_is_reported_in_one_line(tmp_path, capsys, monkeypatch):
    def full(file, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ntk_theory.explorer.__main__.write_whole", full)
    assert main([str(tmp_path / "page.html")]) == 7
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("page.html: No space left on device")
