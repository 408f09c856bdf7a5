"""The rules, one module a kind of trouble; `engine.diagnosis.judge` knows their order.

A rule is a function of a `View` that returns a verdict, or None where it has nothing to say.
"""
