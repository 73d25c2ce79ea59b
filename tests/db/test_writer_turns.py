"""On SQLite, writers of all processes wait in line: nobody is passed over, and a killed one holds nobody up."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from feedback.db.sqlite.writer_turns import Turns
from tests.whole_service import ROOT

CROWD = """
import sys, threading, time
from pathlib import Path
from feedback.db.sqlite.writer_turns import Turns
line, taken, together = Turns(Path(sys.argv[1])), [0] * 4, threading.Barrier(4)
def write(number):
    together.wait()  # who starts late has had fewer turns for that alone
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert line.take(20)
        time.sleep(0.002)
        taken[number] += 1
        line.give_back()
threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(min(taken), max(taken), sum(taken))
"""


pytestmark = pytest.mark.one_database


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "a.sqlite3"


def test_threads_of_several_processes_get_about_the_same(database: Path) -> None:
    command = [sys.executable, "-c", CROWD, str(database)]
    crowds = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [[int(number) for number in crowd.communicate(timeout=60)[0].split()] for crowd in crowds]
    for least, most, _ in told:
        assert most - least <= 2  # in line, one after another
    totals = [total for *_, total in told]
    assert min(totals) * 4 > max(totals), told


def test_a_turn_is_given_to_one_at_a_time_in_the_order_of_asking(database: Path) -> None:
    line, order = Turns(database), []
    assert line.take(1)

    def wait(number: int) -> None:
        assert line.take(20)
        order.append(number)
        line.give_back()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=[number]))
        threads[-1].start()
        while len(line.line) <= number:
            time.sleep(0.001)
    assert order == []
    line.give_back()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_who_waits_in_vain_is_told_and_leaves_the_line(database: Path) -> None:
    line, elsewhere = Turns(database), Turns(database)
    assert line.take(1)
    assert not line.take(0.05)
    assert not elsewhere.take(0.05)
    assert not line.line
    line.give_back()
    assert elsewhere.take(1)
    elsewhere.give_back()
    assert line.take(1)


def test_a_process_that_is_killed_gives_its_turn_back(database: Path) -> None:
    code = "from pathlib import Path\nfrom feedback.db.sqlite.writer_turns import Turns\nimport time\n"
    code += f"assert Turns(Path({str(database)!r})).take(1); print('taken', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "taken\n"
        line = Turns(database)
        assert not line.take(0.05)
        holder.kill()
        holder.wait()
        assert line.take(5)


def test_where_no_lock_can_be_had_sqlite_keeps_order_alone(tmp_path: Path) -> None:
    line = Turns(tmp_path / "nowhere" / "a.sqlite3")
    assert line.take(1)
    line.give_back()
    assert line.take(1)
