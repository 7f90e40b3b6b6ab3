"""Promises that hold from the start of a process: variables that torch reads once, and the copied program."""


def test_variables_in_time_are_in_force(python):
    """A variable set before torch is imported is in force; setting it again to the same value is no contradiction."""
    script = (
        "from repro_track.determinism.numerics import apply_variables\n"
        "apply_variables({'ATEN_CPU_CAPABILITY': 'default'})\n"
        "import torch\n"
        "print(torch.backends.cpu.get_cpu_capability())\n"
        "apply_variables({'ATEN_CPU_CAPABILITY': 'default'})\n"
    )
    assert python("-c", script).out.split() == ["DEFAULT"]


def test_portable_caps_the_instruction_set(python):
    """`determinism=portable` in a fresh process runs with AVX2 and one thread, whatever the machine has more."""
    script = (
        "from repro_track.config.presets import read_preset\n"
        "from repro_track.determinism.numerics import applied, apply_variables\n"
        "p = read_preset('determinism', 'portable')\n"
        "apply_variables(p['environment'])\n"
        "with applied(p['flags'], num_threads=p['num_threads'], policy='portable') as (_, state):\n"
        "    print(state['cpu_capability'], state['num_threads'])\n"
    )
    assert python("-c", script).out.split() == ["AVX2", "1"]


def test_the_copied_program_runs_by_itself(home, start):
    """The copy of the program that a restored environment imports is whole: presets, templates and weights with it."""
    import sys

    from repro_track.capture.packages import copy_program

    folder = copy_program()
    code = (
        "import repro_track; from repro_track.config.presets import read_preset;"
        "from repro_track.config.builtin import find_builtin;"
        "print(repro_track.__file__, read_preset('determinism', 'strict')['name'], find_builtin('digits'))"
    )
    result = start(sys.executable, "-P", "-c", code, env={"PYTHONPATH": str(folder)})
    assert result.code == 0, result.err
    assert result.out.count(str(folder)) == 2
    assert copy_program() == folder
