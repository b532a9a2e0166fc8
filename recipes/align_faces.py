"""Crops and turns faces so that the eyes are always at the same place.

Reads the eye positions from a CSV file with the columns image, left_x,
left_y, right_x and right_y: paths relative to the image folder, and pixels,
left as the viewer sees it. A run that was stopped goes on where it was.
"""

from keras_noisyfer.datasets import ON_ERROR, align_faces, read_eyes
from noisyfer.flags import number_flag, recipe_parser, run_command


def parse_arguments(arguments):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--image-root",
        required=True,
        metavar="DIR",
        help="folder of the images",
    )
    add(
        "--output-dir",
        required=True,
        metavar="DIR",
        help="folder of the faces, new or of an earlier run with these flags",
    )
    add(
        "--eyes",
        required=True,
        metavar="FILE.csv",
        help="columns image, left_x, left_y, right_x, right_y",
    )
    add(
        "--size",
        type=number_flag(int, minimum=1),
        default=256,
        help="width and height of the faces in pixels",
    )
    add(
        "--on-error",
        choices=ON_ERROR,
        default="raise",
        help="stop at the first bad image, or leave it out and list it",
    )
    return parser.parse_args(arguments)


def run(flags):
    names, eyes = read_eyes(flags.eyes)
    report = align_faces(
        flags.image_root,
        flags.output_dir,
        names,
        eyes,
        size=flags.size,
        on_error=flags.on_error,
    )
    print(report)
    print(f"Faces: {flags.output_dir}")


def main(arguments=None):
    run_command(run, parse_arguments(arguments))


if __name__ == "__main__":
    main()
