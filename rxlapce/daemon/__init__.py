"""The process that an editor talks to: it listens, runs handlers, and writes what they emit as frames."""
