"""Pure rules of iocmng: no I/O, no clock, no environment, no threads, no Ray, no EPICS, no HTTP."""
