"""Which provider answers, and the thin face over all of them."""
