"""The use cases, one function each: gather what is needed, decide by `billing`, apply what was decided."""
