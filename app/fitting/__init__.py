"""Learning from a shop's own log: the numbers of a scoring model, and proof of how well they predict.

Offline work with numpy and scipy (the extra `fit`); nothing that answers a request imports this package.

`purchases` the log as arrays; `features` what the score sees of it; `published` and `spending` the published models;
`coefficients` and `model_fit` our own; `baselines`, `metrics`, `comparison` and `backtest` the comparison;
`report`, `page` and `plots` how it is shown.
"""

import os

# The matrices here are long and thin: threads only wait for each other. Measured on two busy cores, a back-test takes
# 9 seconds with one thread and 40 with two. It must be said before numpy is loaded; whoever sets it decides.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
