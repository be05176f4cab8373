"""Reads the trail for people and programs, purely: no file, clock or terminal is known here."""
