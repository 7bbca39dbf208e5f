"""REST: one module for each resource, thin, beside its schemas."""
