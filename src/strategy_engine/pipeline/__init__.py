"""The six validation stages: facts from sandboxed children, judged here, kept with evidence."""
