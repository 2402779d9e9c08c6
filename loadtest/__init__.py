"""Load on an engine from outside: open-loop, with deadlines, measured from the moment a call was meant to be sent."""
