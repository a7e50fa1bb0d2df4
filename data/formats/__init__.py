"""Annotation files of other tools and benchmarks: each module recognises one form by its content and reads it.

A module holds `ABOUT` (what it reads, in a few words), `recognises(source)` and `read(source)`, which returns what was
taken. `data.read` asks the modules in the order of `data.formats.known`.
"""
