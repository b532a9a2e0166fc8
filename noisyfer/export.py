"""`noisyfer export`: a trained model as a folder to serve."""

import pathlib

from keras_noisyfer.relabelling import load_model
from keras_noisyfer.serving.export import export, export_decoder
from noisyfer.flags import UsageError, naming_flags


def run(flags):
    with naming_flags(model="FILE.keras"):
        model = load_model(flags.model)
    folder = pathlib.Path(flags.out, "1")
    if flags.decoder:
        both = [pathlib.Path(p).resolve() for p in (flags.out, flags.decoder)]
        if both[0].is_relative_to(both[1]) or both[1].is_relative_to(both[0]):
            raise UsageError(
                "--decoder must be another folder than --out, and neither in "
                f"the other. Received: {flags.decoder}"
            )
    if flags.decoder and folder.exists() and not flags.overwrite:
        # Or the decoder alone would be written.
        raise ValueError(
            f"--out must not exist yet without --overwrite. Received: {folder}"
        )
    names = {"overwrite": "--overwrite"}
    if flags.decoder:
        # First: not every model has one.
        decoder = pathlib.Path(flags.decoder, "1")
        with naming_flags(model="FILE.keras", path="--decoder", **names):
            export_decoder(model, decoder, overwrite=flags.overwrite)
        print(f"Decoder: {decoder}")
    with naming_flags(model="FILE.keras", path="--out", **names):
        export(model, folder, flags.format, overwrite=flags.overwrite)
    print(f"Model: {folder}")
