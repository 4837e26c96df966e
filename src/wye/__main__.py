"""`python -m wye` is `wye`."""

from wye.cli import main

main()
