"""Build the compiled modules of gateway/_fast: one Extension per .pyx, flags chosen by GATEWAY_BUILD.

release   -O2 (not -Ofast: histograms need NaN and infinity to mean what IEEE says)
debug     -O0 -g3, assertions and bounds checks on
trace     line tracing, for coverage of the .pyx sources
sanitize  AddressSanitizer and UndefinedBehaviorSanitizer

Each build has its own directory, so going back to one compiles nothing again; with --inplace its files always replace
those of another build beside the sources (by their dates alone, an older build would never come back).
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

BUILDS: dict[str, dict[str, list[str]]] = {
    "release": {"compile": ["-O2"], "link": []},
    "debug": {"compile": ["-O0", "-g3", "-UNDEBUG"], "link": []},
    "trace": {"compile": ["-O0", "-DCYTHON_TRACE=1", "-DCYTHON_TRACE_NOGIL=1"], "link": []},
    "sanitize": {
        "compile": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"],
        "link": ["-fsanitize=address,undefined"],
    },
}
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror=incompatible-pointer-types",
    "-Werror=implicit-function-declaration",
    "-Wno-unused-parameter",
]

build = os.environ.get("GATEWAY_BUILD", "release")
if build not in BUILDS:
    raise SystemExit(f"GATEWAY_BUILD={build!r}: unknown build; use one of {', '.join(BUILDS)}")

directives = {
    "language_level": "3",
    "embedsignature": True,
    "binding": True,
    "auto_pickle": False,
    "boundscheck": build == "debug",
    "wraparound": False,
    "initializedcheck": build == "debug",
    "linetrace": build == "trace",
}


class BuildExt(build_ext):
    def copy_extensions_to_source(self) -> None:
        self.force = True
        super().copy_extensions_to_source()


setup(
    cmdclass={"build_ext": BuildExt},
    options={"build": {"build_base": f"build/objects-{build}"}},
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                depends=["setup.py", *map(str, Path("gateway/_fast").glob("*.h"))],
                include_dirs=["gateway/_fast"],
                extra_compile_args=[*BUILDS[build]["compile"], *WARNINGS],
                extra_link_args=BUILDS[build]["link"],
            )
            for source in sorted(Path("gateway/_fast").glob("*.pyx"))
        ],
        build_dir=f"build/cython-{build}",
        compiler_directives=directives,
    ),
)
