"""What the server answers to a request that it does not take."""


class RefusedError(Exception):
    """A request that is answered with a 4xx or 503 status and one sentence."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s

    def __reduce__(self) -> tuple[type["RefusedError"], tuple[int, str, int | None]]:
        return RefusedError, (self.status, self.message, self.retry_after_s)  # it may come from another process
