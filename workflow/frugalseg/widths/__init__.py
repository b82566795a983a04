"""How little width: scores of untrained networks at every cap, and rules that choose a cap from them.

caps: the candidates; scan: a score of every cap, seed and image; choice: rules, their spread and their null.
"""
