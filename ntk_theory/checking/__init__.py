"""How a claim is declared (`claim`, `rows`, `functionals`, `sweep`) and run (`running`)."""
