"""Measured speed. A benchmark says how fast; it is never a test."""
