"""One road for every task: examples, split, draw, windows, fit, predict, evaluate."""
