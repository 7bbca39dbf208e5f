"""The shell around `billing`: HTTP, database, upstream, jobs, command line."""
