"""The interpreter, operating system, CPU, GPU, driver and torch build of this process.

It never changes anything. Of the environment's variables only those that `repro_track.config.locations` lists are
recorded. Only `capture_torch_build` loads torch.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
from pathlib import Path

from repro_track.capture.packages import capture_packages
from repro_track.config.locations import read_recorded_variables
from repro_track.record.schema import Environment, Gpu, Interpreter, Known, Machine, TorchBuild, Unavailable


def capture_environment(*, torch_build: Known[TorchBuild]) -> Environment:
    """Capture everything about this process's environment that can be read without torch.

    Args:
        torch_build: from `capture_torch_build`, or why it was not read.
    """
    return Environment(
        interpreter=Interpreter(
            version=platform.python_version(),
            implementation=platform.python_implementation(),
            executable=sys.executable,
        ),
        machine=_capture_machine(),
        gpu_driver=_capture_gpu_driver(),
        torch=torch_build,
        packages=capture_packages(),
        variables=read_recorded_variables(),
        container=_capture_container(),
    )


def _capture_machine() -> Machine:
    cpuinfo = _read_cpuinfo()
    libc = " ".join(platform.libc_ver()).strip()
    return Machine(
        system=platform.system(),
        release=platform.release(),
        architecture=platform.machine(),
        libc=libc or Unavailable(unavailable="platform.libc_ver() gave nothing"),
        cpu_model=cpuinfo.get("model name")
        or platform.processor()
        or Unavailable(unavailable="no CPU model in /proc/cpuinfo"),
        cpu_isa=_name_isa(cpuinfo["flags"])
        if "flags" in cpuinfo
        else Unavailable(unavailable="no CPU flags in /proc/cpuinfo"),
        cpu_count=os.cpu_count() or 1,
        host=platform.node(),
        user=read_user(),
    )


def _read_cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def _name_isa(flags: str) -> tuple[str, ...]:
    """Keep the instruction sets that kernels are chosen by."""
    return tuple(
        sorted(flag for flag in flags.split() if re.match(r"sse4|avx|fma$|f16c$|amx|bf16|vnni|asimd|sve", flag))
    )


def read_user() -> str:
    """Read the name of the user, or the number of one who has no name (in a container)."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.getuid())


def _capture_gpu_driver() -> Known[str]:
    try:
        first = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except OSError:
        return Unavailable(unavailable="no NVIDIA driver: /proc/driver/nvidia/version is not there")
    return first.removeprefix("NVRM version:").strip()


def capture_torch_build() -> TorchBuild:
    """Capture the identity of the torch build and the GPUs that it sees. Loads torch; does not start CUDA without a
    GPU."""
    import torch

    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        gpus.append(
            Gpu(
                name=properties.name,
                compute_capability=f"{properties.major}.{properties.minor}",
                multiprocessors=properties.multi_processor_count,
                memory_bytes=properties.total_memory,
            )
        )
    return TorchBuild(
        version=torch.__version__,
        git_version=torch.version.git_version or Unavailable(unavailable="this build has none"),
        cuda=torch.version.cuda or Unavailable(unavailable="a build without CUDA"),
        cudnn=torch.backends.cudnn.version() or Unavailable(unavailable="a build without cuDNN"),
        # without the capability in use, which is a setting of the process and recorded with the numerics
        config=re.sub(r"\n\s*- CPU capability usage:.*", "", torch.__config__.show()),
        parallel_info=torch.__config__.parallel_info(),
        gpus=tuple(gpus),
    )


def _capture_container() -> tuple[str, ...]:
    """Name the marks of a container or batch system that can be seen from inside."""
    marks = [f"file {path}" for path in ("/.dockerenv", "/run/.containerenv", "/.singularity.d") if Path(path).exists()]
    marks += [
        f"variable {name}"
        for name in ("KUBERNETES_SERVICE_HOST", "SLURM_JOB_ID", "APPTAINER_CONTAINER", "container")
        if name in os.environ
    ]
    return tuple(marks)
