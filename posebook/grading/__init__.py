"""Grading: untrusted notebooks are read, run in a sandbox, and their grades recorded through nbgrader."""
