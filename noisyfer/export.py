"""`noisyfer export`: a trained model as a folder to serve."""

import pathlib

from keras_noisyfer.relabelling import load_model
from keras_noisyfer.serving.export import export, export_decoder


def run(flags):
    model = load_model(flags.model)
    folder = pathlib.Path(flags.out, "1")
    export(model, folder, flags.format, overwrite=flags.overwrite)
    print(f"Model: {folder}")
    if flags.decoder:
        folder = pathlib.Path(flags.decoder, "1")
        export_decoder(model, folder, overwrite=flags.overwrite)
        print(f"Decoder: {folder}")
