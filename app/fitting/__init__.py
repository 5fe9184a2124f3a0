"""Learning from a shop's own log: the numbers of a scoring model, and proof of how well they predict.

Offline work with numpy and scipy (the extra `fit`); nothing that answers a request imports this package.
`purchases` the log as arrays; `features` what the score sees of it; `published` and `spending` the published models;
`coefficients` and `fit` our own; `baselines`, `metrics`, `backtest` the comparison; `report` and `page` how it is shown.
"""
