"""Evidence: judges from outside, metrics with intervals, and exact ground truth.

``splits`` divides the validation split, ``judges`` trains and loads classifiers, ``edits`` says
what is evaluated, ``metrics`` has one object for each figure, ``bootstrap`` their intervals.
"""
