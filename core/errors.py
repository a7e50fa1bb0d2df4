"""The one error that means "the input is wrong", as opposed to "this program is wrong"."""


class InputError(ValueError):
    """Wrong use or bad input, told in one line that names the file and the field.

    The command line prints the message without a traceback and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def reason(error: BaseException, line: int = 0) -> str:
    """One line, by default the first, of what another library's error says; its kind's name when it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[line] if lines else type(error).__name__
