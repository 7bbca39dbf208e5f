"""The demonstration: a company's month, lived day by day against the look-alike of upstream, with faults planted in it.

It starts the sandbox and the service as programs of their own and talks to them as anybody would: by REST and by the command
`reckoner`. What it knows of the planted faults it never tells them; at the end it holds the report against them.
"""


class DemoFailed(Exception):
    """The demonstration cannot go on, or came out wrong: one sentence for a person."""
