"""Speed, memory and quality, against peers where there are any; each prints a table, writes JSON and draws a plot.

    python -m benchmarks.attention     one layer, forward and backward, against the public Reformers and full attention
    python -m benchmarks.memory        a training step of the whole model; activation memory by depth
    python -m benchmarks.million       one training step on 1,048,576 tokens
    python -m benchmarks.decode        a cached step by context, by number of variations, and what it is made of
    python -m benchmarks.duplication   the paper's Table 2
    python -m benchmarks.quality       how much LSH attention gains on music
    python -m benchmarks.infilling     how close recomposed bars are to the true ones, and to the bars around them
    python -m benchmarks.both_sides    how much it helps to see both sides of a hole
    python -m benchmarks.band          whether bass and drums continue, and come in if requested
    python -m benchmarks.flaws         how often pieces loop, come to clusters, fall silent or lack an instrument
    python -m benchmarks.chorales      the chorales of Bach that music21 brings, as a corpus to train on
    python -m benchmarks.corpus        preparation of a million made-up files

The peers are installed by the extra: pip install -e ".[benchmarks]". Results land in `benchmarks/results/`.
"""
