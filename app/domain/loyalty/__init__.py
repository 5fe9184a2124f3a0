"""Points: a ledger that proves itself, the rules that earn them, and what they buy."""
