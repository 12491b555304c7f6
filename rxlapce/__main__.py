"""`python -m rxlapce` is `rxlapce`."""

from rxlapce.cli.main import main

main()
