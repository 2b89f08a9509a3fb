"""Statistics of a comparison: functions of arrays, described in docs/method.md.

A comparison needs thousands of tests: scipy.special computes them 5 to 1000 times as fast as
scipy.stats and statsmodels, with which the tests compare the results.
"""
