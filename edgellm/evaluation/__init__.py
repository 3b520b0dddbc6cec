"""How good a model is at its job: the same measure for any model that can be read token by token.

    read sets (sets) -> prompt and answer as tokens (examples) -> what the model makes of them (integer, or train.evaluate
    for torch) -> what is right (answers, scores) -> a report (measure) as a table, a picture and files

NumPy alone, except for the terminal's table (rich) and the picture (matplotlib), which are imported when asked for.
"""
