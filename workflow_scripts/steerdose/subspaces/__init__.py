"""Directions that can be named before training: do they hold what training changes?"""
