"""Providers that fail in every way there is, and what becomes of the answers: over real sockets, each case by itself.

cases    who fails how, and what is expected: a table
setup    who is asked: the built-in providers, or those of somebody's own configuration file
stage    what one case runs on: two simulators, a daemon with all of its routing, a client behind shared memory
plays    what is asked of it, in which order
verdict  whether what came was the whole answer, one clear error, or neither
result   the case as a whole; `run` has many of them at once
"""
