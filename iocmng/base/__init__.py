"""What authors subclass, and what runs it: no Ray, no EPICS."""
