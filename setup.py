"""Build the compiled modules: one Extension per .pyx of gateway/_fast, flags chosen by GATEWAY_BUILD.

release   -O2 (not -Ofast: histograms need NaN and infinity to mean what IEEE says)
debug     -O0 -g3, assertions and bounds checks on
trace     line tracing, for coverage of the .pyx sources
sanitize  AddressSanitizer and UndefinedBehaviorSanitizer
fuzz      calls the collector of tests/fuzz/edges.c at the beginning of every basic block

The release build compiles `PLAIN`, too: Python modules on every request's path. They run as they stand without that,
and do so in the other builds, where debuggers and coverage can look into them. Whoever edits one has to build again.

Each build has its own directory, so going back to one compiles nothing again; with --inplace its files always replace
those of another build beside the sources (by their dates alone, an older build would never come back).
"""

import os
from collections.abc import Iterable
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

BUILDS: dict[str, dict[str, list[str]]] = {
    "release": {"compile": ["-O2"], "link": []},
    "debug": {"compile": ["-O0", "-g3", "-UNDEBUG"], "link": []},
    "trace": {"compile": ["-O0", "-DCYTHON_TRACE=1", "-DCYTHON_TRACE_NOGIL=1"], "link": []},
    "sanitize": {
        "compile": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"],
        "link": ["-fsanitize=address,undefined"],
    },
    "fuzz": {"compile": ["-O1", "-g", "-fsanitize-coverage=trace-pc"], "link": []},
}
PLAIN = (  # each was measured, by what a whole request costs in memory alone: 25 µs with the first six, 20 with all
    "exchange",
    "pipeline",
    "relay",
    "settlement",
    "stream_reply",
    "whole",
    "dialects/fields",
    "dialects/json_body",
    "lanes/fast_lane",
    "policies/overload",
    "routing/round_robin",
    "telemetry/request_meters",
    "upstream/fast_client",
    "upstream/pool",
)
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

directives = {"language_level": "3", "binding": True, "auto_pickle": False}
core = {
    "embedsignature": True,
    "boundscheck": build == "debug",
    "wraparound": False,
    "initializedcheck": build == "debug",
    "linetrace": build == "trace",
}


class BuildExt(build_ext):
    def copy_extensions_to_source(self) -> None:
        self.force = True
        for stale in {file for name in PLAIN for file in Path("gateway").glob(f"{name}.*.so")}:
            stale.unlink()
        super().copy_extensions_to_source()


class BuildPy(build_py):
    def run(self) -> None:
        """What an earlier build has left for a wheel and is no more, above all a compiled module, is in no wheel."""
        compiled_ones = {Path(*module.name.split(".")) for module in modules}
        for left in [path for path in Path(self.build_lib).glob("gateway/**/*") if path.is_file()]:
            name = left.relative_to(self.build_lib)
            is_ours = (
                name.with_name(name.name.partition(".")[0]) in compiled_ones if left.suffix == ".so" else name.exists()
            )
            if not is_ours:
                left.unlink()
        super().run()


def compiled(sources: Iterable[Path], **more: bool) -> list[Extension]:
    modules = [
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            depends=["setup.py", *map(str, Path("gateway/_fast").glob("*.h"))],
            include_dirs=["gateway/_fast"],
            extra_compile_args=[*BUILDS[build]["compile"], *WARNINGS],
            extra_link_args=BUILDS[build]["link"],
        )
        for source in sources
    ]
    return cythonize(modules, build_dir=f"build/cython-{build}", compiler_directives={**directives, **more})


modules = compiled(sorted(Path("gateway/_fast").glob("*.pyx")), **core)
if build == "release":  # with Python's own rules about indices; annotations are types only where there is a .pxd
    for source in (Path(f"gateway/{name}.py") for name in PLAIN):
        modules += compiled([source], annotation_typing=source.with_suffix(".pxd").exists())
setup(
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
    options={"build": {"build_base": f"build/objects-{build}"}},
    ext_modules=modules,
)
