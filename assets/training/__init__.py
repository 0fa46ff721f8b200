"""How findalike's own small CLIP encoder was trained: from ImageNet weights, renders and photos.

    python -m assets.training --renders FOLDER --photos FOLDER --out RUNFOLDER --minutes 120
    python -m assets.training export RUNFOLDER ENCODERFOLDER --blend 0.7
    python -m assets.training start ENCODERFOLDER --photos FOLDER --renders FOLDER

A run goes on from its last checkpoint when it is started again with the same options.
"""
