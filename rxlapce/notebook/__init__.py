"""Streams to look at, in a notebook: live while they run, and as pictures that stay when it is saved."""

from rxlapce.notebook.compare import compare
from rxlapce.notebook.inspect import inspect
from rxlapce.notebook.lab import Lab
from rxlapce.notebook.raw import raw
from rxlapce.notebook.show import show
from rxlapce.notebook.timeline import timeline
from rxlapce.notebook.view import View

__all__ = ["Lab", "View", "compare", "inspect", "raw", "show", "timeline"]
