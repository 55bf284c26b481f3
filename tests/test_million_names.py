"""What a folder takes beside the attack, by scripts/million_names.py, grows by little with the number of its images."""

import os
import re
import subprocess
import sys

import pytest
from repository import REPOSITORY

#: A million take some minutes: TFADV_NAMES=1000000.
COUNT = int(os.environ.get("TFADV_NAMES", "50000"))


@pytest.mark.slow
def test_a_folder_of_many_names_is_listed_begun_and_gone_on_with_in_bounded_time_and_memory(tmp_path):
    program = [sys.executable, str(REPOSITORY / "scripts" / "million_names.py"), str(tmp_path / "folder")]
    done = subprocess.run([*program, "--count", str(COUNT)], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w+) \| [\d.]+ \| ([\d.]+) \| (-?\d+) \|$", done.stdout, re.MULTILINE)
    taken = {name: (float(seconds), float(megabytes)) for name, seconds, megabytes in rows}
    assert taken.keys() == {"list", "first", "resume", "check", "pair", "fold"}
    millions = COUNT / 1e6
    for name, seconds in {"list": 15, "first": 40, "resume": 60, "pair": 200, "fold": 120}.items():
        assert taken[name][0] < 5 + seconds * millions, done.stdout
        assert taken[name][1] < 60 + (500 if name != "pair" else 1500) * millions, done.stdout
