"""The questions of the chapters: what to predict before a section is run, and what to answer after it."""
