"""Streams to look at, in a notebook: live while they run, and as pictures that stay when it is saved."""
