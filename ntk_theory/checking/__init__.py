"""How a claim is declared (`claim`, `rows`, `functionals`, `sweep`, `knobs`) and run (`running`)."""
