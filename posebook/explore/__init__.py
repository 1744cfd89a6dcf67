"""Interactive explorers, one file each: a state, what follows from it, and pure views of that."""
