"""Sans-I/O codecs: bytes go in, events or frames come out, the same for every split of the input."""
