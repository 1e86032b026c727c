"""The seams of the house: what one room needs of another, as Protocols. A module for each side that needs something.

Everything that meets Ray, EPICS, the clock or the network stands behind one of these, so that the rules can be tested
without them.
"""
