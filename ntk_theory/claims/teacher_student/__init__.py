"""Claim C2: a student of a stopped teacher is that teacher (docs/theory.md, section 6.8).

Teachers are trained on noisy labels and stopped at several times; each has students of its own,
started from other weights, that learn its outputs, or the signs of these.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="teacher-student",
    statement=(
        "A student trained out on the outputs of a stopped teacher is that teacher, so its error "
        "to the clean labels is the teacher's U-shaped curve; a fully trained teacher teaches the "
        "noisy labels; the signs of a teacher stopped in time teach the clean ones exactly."
    ),
    formulas=(
        "student_t = A'_t A_τ ỹ,  filter g'_λ(t) g_λ(τ),  g_λ(t) = 1 − (1 − ηλ)^t",
        "‖student_t − y‖²/n = (1 − (1−2ρ) g'_+(t) g_+(τ))² + 4ρ(1−ρ) (g'_−(t) g_−(τ))²  (ȳ = 0)",
        "student_∞ = teacher(τ);  τ = ∞: 2√ρ;  never below 2ρ",
        "student of sign(teacher(τ)):  error (1 − η'λ_+)^t → 0 while the teacher's signs are right",
        "signs right iff (1−2ρ) Π g_+ > 2(1−ρ) Π g_−, one factor a round",
    ),
    assumptions=(
        "H positive definite, both learning rates below 2/λ_max (for the 2ρ bound at most 1/λ_max)",
        "ρ < ρ* = (r − 2)/(2(r − 1)), so that some teacher has every sign right",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "Training on fixed labels z retrieves A_t z with A_t = I − (I − ηH)^t; the student's z is "
        "A_τ ỹ, and both matrices share the eigenvectors of H, so the filters multiply. As the "
        "student's own factor tends to 1 it becomes its teacher. Signs of a teacher stopped in "
        "time are the clean labels, which hold no noise to memorise. At width m the student "
        "deviates by its own O(m^{-1/2}) plus its teacher's (docs/theory.md, sections 6.8 and 9)."
    ),
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.8",
    paper_claims={
        "C2": "teacher by early stopping; training inputs, students of the same architecture"
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "cross_cosine",
            "noise_rate",
            "learning_rate",
            "dtype",
        }
    ),
    controls=("fully-trained-teacher", "late-hardening", "shuffled-teacher", "stopped-student"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.teacher_student.run:run"),
    predict=deferred("ntk_theory.claims.teacher_student.plan:predict"),
    panels={
        "error-of-students": deferred(
            "ntk_theory.claims.teacher_student.picture:error_of_students"
        ),
        "students-over-time": deferred(
            "ntk_theory.claims.teacher_student.picture:students_over_time"
        ),
    },
)
