"""Claim C2: an early-stopped teacher harvests dark knowledge (docs/theory.md, section 6.6).

Nets with one output a class are trained on a tree of classes. What they output on sibling classes,
less what they output on others, rises and falls as the closed form says; and students that see one
point of each class profit from the outputs of a stopped teacher, not from those of a trained-out
one.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="dark-knowledge",
    statement=(
        "On a tree of classes a wide net outputs more on siblings of the right class than on "
        "others, by an amount that rises and falls with training and is gone in a trained-out "
        "net; a student that sees one point of each class of a blurred tree is more accurate when "
        "a stopped teacher's outputs teach it than with hard labels."
    ),
    formulas=(
        "siblings − others = (g_super(t) − g_class(t)) / c,  g_λ(t) = 1 − (1 − ηλ)^t",
        "q = log(1 − ηλ_super) / log(1 − ηλ_class)",
        "time of the peak = log q / (log(1 − ηλ_class) − log(1 − ηλ_super))",
        "height of the peak = q^{−1/(q − 1)} (1 − 1/q) / c",
        "student on fresh points = K_* K^{-1} (I − (I − ηK)^t) × the teacher's outputs",
    ),
    assumptions=(
        "zero initial output",
        "η < 1/λ_max, so that no eigenspace overshoots",
        "noiseless one-hot labels; classes and superclasses of equal size",
        "nets wide enough for outputs to be independent: their kernel blocks vanish like m^{-1/2}",
        "students: kernels are measured, not in closed form; the gain is that of the trees drawn",
    ),
    derivation=(
        "One-hot labels lie in the class, superclass and mean eigenspaces of the tree's kernel, "
        "each retrieved by its own filter (section 3.2); reading off the entries gives the "
        "difference and its one peak (section 6.6). On targets that depend on the tree alone a "
        "student's choice between siblings is that of hard labels, so such a gain is one in "
        "superclasses; the rest of the measured gain is in finer differences between wrong classes."
    ),
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.6",
    paper_claims={
        "C2": "dark knowledge as output on sibling classes; square loss; synthetic trees of classes"
    },
    knobs=frozenset(
        {"seeds", "widths", "clusters", "points", "ratio", "steps", "learning_rate", "dtype"}
    ),
    controls=(
        "trained-out",
        "no-superclasses",
        "labels-of-siblings",
        "trained-out-teacher",
        "confidence-alone",
        "shuffled-teacher",
    ),
    run=deferred("ntk_theory.claims.dark_knowledge.run:run"),
    predict=deferred("ntk_theory.claims.dark_knowledge.plan:predict"),
    panels={
        "rise-and-fall": deferred("ntk_theory.claims.dark_knowledge.picture:rise_and_fall"),
        "class-outputs": deferred("ntk_theory.claims.dark_knowledge.picture:class_outputs"),
        "students": deferred("ntk_theory.claims.dark_knowledge.picture:students"),
    },
)
