"""Work done apart: in a process of its own, which the system ends when the work takes too long.

Neither a thread inside C code nor a library that holds the interpreter can be stopped from within a process.
"""

import atexit
import contextlib
import importlib
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any

_HEAD = struct.Struct("<d")  # seconds that the work may take; the pickled arguments follow
_KEPT = 2  # idle processes kept for the next call; as many more as threads ask at once


class Apart:
    """A function of a module, named `module:function`, whose calls run in processes of their own, one call at a time.

    Arguments, results and exceptions are pickled. A process is kept for later calls and ends with its parent.

    nice: how much less than this process the others press for a processor, 0..19.
    """

    def __init__(self, function: str, nice: int = 0) -> None:
        self._words = [function, str(nice)]
        self._idle: list[subprocess.Popen[bytes]] = []
        os.register_at_fork(after_in_child=self._idle.clear)  # a fork must not read its parent's answers
        atexit.register(self.close)

    def __call__(self, *arguments: Any, limit_s: float) -> Any:
        """The function's result, or its exception.

        Raises TimeoutError after `limit_s` seconds of work, ChildProcessError when the process died of the work.
        """
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._start()
        try:
            done, value = _exchange(process, arguments, limit_s)
        except (EOFError, OSError, pickle.UnpicklingError):
            status = _end(process)
            if status == -signal.SIGALRM:
                raise TimeoutError(f"not done within {limit_s:g} s") from None
            raise ChildProcessError(f"the process ended with status {status}") from None
        except BaseException:  # Ctrl-C between question and answer: the next call must not get this one's
            _end(process)
            raise
        if len(self._idle) < _KEPT:
            self._idle.append(process)
        else:
            _end(process)
        if not done:
            raise value
        return value

    def _start(self) -> "subprocess.Popen[bytes]":
        # By path and -P, with this process's own places to search: the same modules, and no others than it would find.
        words = [sys.executable, "-P", __file__, *self._words]
        places = {**os.environ, "PYTHONPATH": os.pathsep.join(place or os.getcwd() for place in sys.path)}
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=places)
        _pipe(process.stdout).read(1)  # it has imported what it needs; the work's time begins now
        return process

    def close(self) -> None:
        """End the idle processes."""
        while self._idle:
            _end(self._idle.pop())


def _exchange(process: "subprocess.Popen[bytes]", arguments: tuple[Any, ...], limit_s: float) -> Any:
    question, answer = _pipe(process.stdin), _pipe(process.stdout)
    question.write(_HEAD.pack(limit_s))
    pickle.dump(arguments, question, protocol=5)  # straight into the pipe: long bytes are not copied before
    question.flush()
    return pickle.load(answer)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _end(process: "subprocess.Popen[bytes]") -> int:
    """End a process that is idle or whose answer nobody wants; its exit status."""
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()
    try:
        status = process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    _pipe(process.stdout).close()
    return status


def _work(function: Callable[..., Any]) -> None:
    """Answer calls from standard input until it ends; SIGALRM ends the process in the midst of one."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answers.write(b"\0")
    answers.flush()
    while head := questions.read(_HEAD.size):
        (limit_s,) = _HEAD.unpack(head)
        arguments = pickle.load(questions)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        try:
            answer = True, function(*arguments)
        except Exception as error:  # whatever it is belongs to the caller
            answer = False, error
        signal.setitimer(signal.ITIMER_REAL, 0)
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, whose end closes standard input
    module, _, name = sys.argv[1].partition(":")
    os.nice(int(sys.argv[2]))
    with contextlib.suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):  # the parent has ended
        _work(getattr(importlib.import_module(module), name))
    os._exit(0)  # without flushing into a pipe that nobody reads
