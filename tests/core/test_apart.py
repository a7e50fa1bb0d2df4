import os
import signal
import threading

import pytest

from core.apart import Apart


def test_results_and_exceptions_come_back_and_the_process_is_kept():
    add, number = Apart("operator:add"), Apart("os:getpid")
    assert add([1], [2], limit_s=10) == [1, 2]
    with pytest.raises(TypeError, match="unsupported operand"):
        add(1, "a", limit_s=10)
    assert number(limit_s=10) == number(limit_s=10) != os.getpid()
    number.close()


def test_work_beyond_its_time_is_ended_and_the_next_call_is_answered():
    sleep, number = Apart("time:sleep"), Apart("os:getpid")
    with pytest.raises(TimeoutError, match=r"not done within 0.1 s"):
        sleep(60, limit_s=0.1)
    assert sleep(0, limit_s=10) is None
    before = number(limit_s=10)
    os.kill(before, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="status -9"):
        number(limit_s=10)
    assert number(limit_s=10) != before


def test_threads_get_their_own_answers():
    double, told = Apart("operator:mul"), {}
    threads = [threading.Thread(target=lambda n=n: told.update({n: double(n, 2, limit_s=10)})) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {n: 2 * n for n in range(6)}


def test_a_fork_leaves_its_parents_process_alone():
    number = Apart("os:getpid")
    before = number(limit_s=10)
    if (child := os.fork()) == 0:
        os._exit(0 if number(limit_s=10) != before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert number(limit_s=10) == before
