"""One HTML page with the closed forms on sliders: `python -m ntk_theory.explorer FILE.html`."""
