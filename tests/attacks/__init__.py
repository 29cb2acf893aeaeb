"""Attacks on the promise: each defence has one here, and a build without it, on which the attack succeeds."""
