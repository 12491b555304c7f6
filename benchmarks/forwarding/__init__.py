"""What the way out costs: from a token in hand to its frame in the ring, or in the socket, without HTTP."""
