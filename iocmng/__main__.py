"""`python -m iocmng` is `iocmng`."""

from iocmng.cli.main import main

main()
