"""Tests of cipherfold.flower. This is a package, so that both `conftest` modules have different
names.
"""
