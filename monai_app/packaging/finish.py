"""During the build of the image: remove what is never used, compile, gather licences. Standard library only."""

from __future__ import annotations

import compileall
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from py_compile import PycInvalidationMode

DOCUMENTS = Path("/opt/holoscan/docs")
# Patterns below site-packages -> why they can go. Those of "cpu" are libraries for GPUs that a run on processors never
# maps; the ones that remain are what torch and Holoscan are linked against.
NEVER_USED: Mapping[str, Mapping[str, str]] = {
    "all": {
        "**/*.a": "static archives",
        "**/*.pyx": "sources of compiled modules",
        "**/include": "headers",
        "**/tests": "tests of libraries",
        "holoscan/examples": "examples",
        "pydicom/data/test_files": "test data",
    },
    "cpu": {
        "nvidia/cudnn/lib/libcudnn_*": "kernels of cuDNN, which its main library opens on a GPU only",
        "nvidia/cu13/lib/libcusolverMg.so*": "solvers for several GPUs",
        "nvidia/cu13/lib/libnvrtc.alt.so*": "the compiler of kernels in another form",
        "nvidia/cu13/lib/libnvperf_*": "profiler",
        "nvidia/nvshmem/lib/*.bc": "code for GPUs",
        "nvidia/nvshmem/lib/nvshmem_*": "transports between GPUs",
        "nvidia/nvshmem/bin": "tools",
        "torch/lib/libtorch_cuda_linalg.so": "linear algebra on GPUs",
    },
}


def main(variant: str) -> None:
    """Finish the packages of a variant, ``cpu`` or ``cuda``."""
    (DOCUMENTS / "THIRD_PARTY_LICENSES.txt").write_text("\n".join(licences()), "utf-8")
    packages = Path(sysconfig.get_paths()["purelib"])
    for patterns in (NEVER_USED["all"], NEVER_USED.get(variant, {})):
        for pattern in patterns:
            for path in sorted(packages.glob(pattern)):
                if ".dist-info" in str(path):
                    continue  # metadata and licences
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
    compileall.compile_dir(packages, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


def licences() -> Iterator[str]:
    """Yield name, version and licence of every package, with the texts that it came with."""
    for package in sorted(distributions(), key=lambda package: package.name.lower()):
        metadata = package.metadata
        given = [text for key in ("License-Expression", "License") for text in metadata.get_all(key, [])]
        stated = given[0].partition("\n")[0] if given else ""
        classified = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", []) if "License ::" in text]
        yield f"\n{'=' * 80}\n{package.name} {package.version}: {stated or ', '.join(classified) or 'see below'}\n"
        for file in package.files or ():
            if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE")) and ".dist-info" in str(file):
                yield file.locate().read_text("utf-8", errors="replace")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
