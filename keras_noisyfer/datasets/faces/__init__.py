"""Face data sets that are not downloaded, and the alignment of faces."""
