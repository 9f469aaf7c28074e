"""The comparison of directions on the embedded models: `python -m helpers.comparison toy-faces clothes`.

It follows the page "The protocol of the comparison", which was written before its numbers, and keeps them in the folder
results of this package. Two hours a drawn world on two CPU cores, a few minutes on a large GPU.
"""
