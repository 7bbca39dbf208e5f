"""The look-alike of the upstream Insights API: derives every figure from a dataset of who was connected and publishing when.

It drives the real client in tests, in the demo and by `reckoner sandbox`; the running service never imports it.
"""
