"""The command line: `iocmng`, `iocmng-server`, `iocmng-run`."""
