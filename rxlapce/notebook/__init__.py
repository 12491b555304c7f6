"""Streams to look at, in a notebook: live while they run, and as pictures that stay when it is saved."""

from rxlapce.notebook.inspect import inspect
from rxlapce.notebook.lab import Lab
from rxlapce.notebook.show import show
from rxlapce.notebook.view import View

__all__ = ["Lab", "View", "inspect", "show"]
