"""Benchmarks: each turns items into readings, and readings into metrics. One file each."""
