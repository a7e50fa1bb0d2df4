"""One of several processes of test_resume: trainings one after the other, each whole or dying at the start of a step.

    stopped.py RUN:STEP[,RUN:STEP...] WORD...

Step 0 lets a run finish. The last training dies by SIGKILL, one before it by an exception that nothing catches, so that
the next can begin in the same processes. With `nan` behind the step nothing dies: the second process's embeddings alone
are not numbers in that step.
"""

import os
import signal
import sys

from siglip import train
from siglip.loss.gathering import rank
from siglip.train.steps import Stepper

TAKE = Stepper.take


class Killed(BaseException):
    """Stands for a death that nothing in the program can catch or tidy up after."""


def dying_at(step, by_signal):
    """A `take` that dies when so many steps were taken by this process."""
    taken = []

    def take(self, *arguments):
        if step and len(taken) == step:
            if by_signal:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed
        taken.append(step)
        return TAKE(self, *arguments)

    return take


def spoilt_at(step):
    """A `take` whose embeddings are NaN in the second process when so many steps were taken."""
    taken = []

    def take(self, *arguments):
        if len(taken) == step and rank() == 1:
            embed = self._embed

            def spoilt(*given):
                made = embed(*given)
                made.image = made.image * float("nan")
                return made

            self._embed = spoilt
        taken.append(step)
        return TAKE(self, *arguments)

    return take


def main(plan, *words):
    runs = [part.rpartition(":")[::2] for part in plan.split(",")]
    for number, (run, at) in enumerate(runs, start=1):
        step = int(at.removesuffix("nan"))
        Stepper.take = spoilt_at(step) if at.endswith("nan") else dying_at(step, by_signal=number == len(runs))
        try:
            train.main([*words, f"run_dir={run}"])
        except Killed:
            print(f"died at step {step}", flush=True)
        except SystemExit as stop:
            if not at.endswith("nan"):
                raise
            print(f"ended with status {stop.code}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
