import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Read as text: an import would need what is only about to be installed.
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "seqvae" / "__init__.py").read_text(encoding="utf-8"))[1]

setup(
    name="seqvae",
    version=VERSION,
    description="Generative models of sequences with latent variables, in TensorFlow and Keras 3",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.14",
    # An explicit list: tests, examples and datasets/ are never installed.
    packages=find_packages(
        include=["seqvae", "seqvae.*", "kvae", "kvae.*", "worldmodels", "worldmodels.*", "vrae", "vrae.*"]
    ),
    package_data={name: ["py.typed"] for name in ("seqvae", "kvae", "worldmodels", "vrae")},
    entry_points={"console_scripts": ["seqvae = seqvae.cli:main"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15.1,<4",
        "tensorflow-probability>=0.25,<0.26",
        # TensorFlow Probability 0.25 cannot be imported without tf-keras.
        "tf-keras>=2.21,<2.22",
        "numpy>=2.0,<3",
        "absl-py>=2.1",
        "pymunk>=7.3,<8",
        # pygame-ce, not pygame: both own the module `pygame`.
        "pygame-ce>=2.5.8,<3",
        "matplotlib>=3.10,<4",
        "imageio>=2.37,<3",
        "imageio-ffmpeg>=0.6",
        "pillow>=11",
        "pyyaml>=6",
        "scikit-learn>=1.5",
        "hmmlearn>=0.3.3,<0.4",
        "scipy>=1.13",
        "rich>=14,<16",
    ],
    extras_require={
        "carracing": ["gymnasium[box2d]>=1.1"],
        "tensorboard": ["tensorboard>=2.20"],
        "onnx": ["tf2onnx>=1.17", "onnx>=1.20", "onnxruntime>=1.23"],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "test": [
            "pytest>=8.4",
            "pytest-xdist>=3.6",
            "hypothesis>=6.140",
            "setuptools>=65",
            "wheel>=0.45",
            "statsmodels>=0.14",
            "tf2onnx>=1.17",
            "onnx>=1.20",
            "onnxruntime>=1.23",
            "tensorboard>=2.20",
            "gymnasium[box2d]>=1.1",
        ],
        "benchmark": ["torch>=2.5"],
        "dev": ["ruff>=0.14", "basedpyright>=1.31"],
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
