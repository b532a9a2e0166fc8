"""Packaging of keras_noisyfer.

Every bound is one that was tried: the lower bounds install together and pass
the tests, and so do the newest releases under the upper bounds.
"""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).parent / "README.md"

setup(
    name="keras_noisyfer",
    version="0.1.0",
    description=(
        "Emotion recognition from noisy multi-task annotations with Keras 3"
    ),
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_noisyfer", "keras_noisyfer.*"]),
    package_data={
        "keras_noisyfer": ["py.typed"],
        "keras_noisyfer.auditing": ["page.html", "page.js"],
        "keras_noisyfer.datasets": ["fer2013_checksums.npy"],
    },
    python_requires=">=3.11",
    install_requires=[
        # Earlier ones let a `.keras` file read other files, write them or run
        # code in spite of `safe_mode`, one way or another.
        "keras>=3.15.1,<3.16",
        "tensorflow>=2.20,<2.22",
        "tensorflow-datasets>=4.9.10,<4.10",
        # tensorflow-datasets imports it to load its own data sets, and does
        # not declare it (tensorflow/datasets#11212).
        "importlib_resources>=6.0,<8",
        "numpy>=1.26,<2.6",
        "matplotlib>=3.9,<3.12",
        # Earlier ones do not tell of a row with too many values that begins a
        # chunk of a CSV file.
        "pandas>=3.1,<3.2",
        "pillow>=10.3,<14",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        # TensorFlow no longer brings tensorboard, which keras-tuner imports.
        "tune": ["keras-tuner>=1.4.7,<1.5", "tensorboard>=2.20,<2.22"],
        "audit": [
            "cleanlab>=2.8,<2.10",
            "jinja2>=3.1,<4",
            "krippendorff>=0.7,<0.10",
            "scikit-learn>=1.5,<1.10",
            "scipy>=1.13,<1.19",
        ],
        "crowd": ["crowd-kit>=1.4.1,<1.5"],
        "jax": ["jax>=0.10,<0.11"],
        "export": ["onnx>=1.23,<1.24", "tf2onnx>=1.17,<1.18"],
        "demo": ["gradio>=6.0,<7"],
        # OpenCV 5 no longer has the cascades that find faces.
        "faces": ["opencv-python-headless>=4.10,<5"],
        "dev": [
            "distributed>=2025.4",
            "hypothesis>=6.100,<7",
            "pytest>=8.0,<10",
            "pytest-timeout>=2.2,<3",
            "pytest-xdist>=3.5,<4",
            "ruff>=0.17.6,<0.18",
            "mypy>=2.0,<3",
            "pre-commit>=4.0,<5",
            # The interpreters of the exported files and of the notebook, and
            # the messages of TensorFlow Serving.
            "ai-edge-litert>=2.3,<2.4",
            "onnxruntime>=1.32,<1.33",
            "ipykernel>=7.0,<8",
            "nbclient>=0.10,<0.12",
            "nbformat>=5.10,<6",
            "playwright>=1.50,<2",
            "tensorflow-serving-api>=2.20,<2.22",
        ],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
