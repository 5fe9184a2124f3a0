"""How healthy a customer's relationship is: a pure function of a small, order-free record.

`facts` what the score sees of a touchpoint; `threads` what facts add; `state` the record they add to; `history` folds;
`model` every coefficient; `score` the number; `flags`, `explain`, `reasons`, `standing` say why and what to do.
"""
