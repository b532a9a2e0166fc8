"""Your own data: tables of labels and a folder of images."""
