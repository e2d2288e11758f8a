"""The portal as people meet it: Debian's Chromium, real gateway processes, real jobs.

A package, so that what its tests share ends with the last of them: Playwright's loop would be in other tests' way.
"""
