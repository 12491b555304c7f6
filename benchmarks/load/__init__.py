"""Many streams on many connections: what is lost, what a token costs, and how much later it comes."""
