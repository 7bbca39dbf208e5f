"""Telling others what happened: which events there are, how they are signed, and how they are sent."""
