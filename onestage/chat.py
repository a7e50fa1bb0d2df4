"""One client for any OpenAI-compatible server, on the standard library."""

import base64
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, reason
from core.images import encode_image
from onestage.settings import ServerConfig, Structured
from onestage.transport import StatusError, post

T = TypeVar("T")
FIRST_PAUSE_S = 0.5  # between the first two tries; it doubles
MOST_SHOWN = 120  # characters of an answer in an error
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}  # statuses that another try may not meet


@dataclass(frozen=True)
class Reply:
    """What the server wrote: its text, how many tokens that took, and each token with its log-probability if told."""

    text: str
    tokens: int = 0
    logprobs: tuple[dict[str, Any], ...] = ()

    @property
    def probability(self) -> float | None:
        """The geometric mean of the tokens' probabilities, None where the server tells none."""
        told = [p for t in self.logprobs if (p := log_probability(t.get("logprob"))) is not None]
        return math.exp(sum(p / len(told) for p in told)) if told else None


class ChatClient:
    """Asks a server one question a request."""

    def __init__(self, url: str, config: ServerConfig, where: str) -> None:
        self._url = url.rstrip("/") + ("" if url.rstrip("/").endswith("/chat/completions") else "/chat/completions")
        self._config, self._where = config, where
        self._secret = os.environ.get(config.key_variable, "").strip()
        if not (self._secret.isascii() and self._secret.isprintable()):
            raise InputError(f"{where}.key_variable: {config.key_variable} holds characters that no header can hold")

    def ask(self, words: str, images: Sequence[NDArray[np.uint8]], schema: dict[str, Any] | None = None) -> Reply:
        """The reply to `words` about RGB images, sent as PNG before them.

        Raises InputError when the server is gone, refuses the request, or answers in no form of this protocol.
        """
        config = self._config
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": png_url(i)}} for i in images]
        content.append({"type": "text", "text": words})
        body: dict[str, Any] = {
            "model": config.model, "messages": [{"role": "user", "content": content}],
            "temperature": config.temperature, "seed": config.seed, "max_tokens": config.max_tokens,
        }  # fmt: skip
        if config.structured is Structured.schema and schema is not None:
            named = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if config.logprobs:
            body |= {"logprobs": True, "top_logprobs": 10}
        return self._reply(self._send(json.dumps(body).encode()))

    def _send(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["Authorization"] = f"Bearer {self._secret}"
        told, tries = "", self._config.tries
        for number in range(tries):
            if number:
                time.sleep(FIRST_PAUSE_S * 2 ** (number - 1))
            try:
                return json.loads(post(self._url, body, headers, self._config.timeout_s))
            except StatusError as error:
                told = f"status {error.code}: {error}"
                if error.code not in PASSING:
                    raise self._failure(f"refuses: {told}") from None
            except TimeoutError:
                told = f"no answer within {self._config.timeout_s:g} s"
            except (HTTPException, OSError, ValueError, RecursionError) as error:
                told = reason(error)
        raise self._failure(f"gave no answer in {tries} tries ({told})")

    def _failure(self, told: str) -> InputError:
        """The error to raise; a server may say the key back, which is written nowhere."""
        told = told.replace(self._secret, "***") if self._secret else told
        return InputError(f"{self._where}: {self._url} {told}")

    def _reply(self, value: Any) -> Reply:
        choices = value.get("choices") if isinstance(value, dict) else None
        if choices == []:  # a server's filter may leave nothing
            return Reply("")
        choice = choices[0] if isinstance(choices, list) else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise self._failure(f"answers in no form of chat completions: {json.dumps(value)[:MOST_SHOWN]}")
        usage = value.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        counted = tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 2**31 else 0
        listed = choice.get("logprobs")
        steps = listed.get("content") if isinstance(listed, dict) else None
        kept = tuple(step for step in steps if isinstance(step, dict)) if isinstance(steps, list) else ()
        return Reply(_text(message.get("content")), counted, kept)


def _text(content: Any) -> str:
    """The words of a message, whole or in parts; none for a refusal or a call of a tool."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def png_url(image: NDArray[np.uint8]) -> str:
    """The image as a data URL; PNG, so that the server sees the very pixels."""
    return "data:image/png;base64," + base64.b64encode(encode_image(image, ".png")).decode()


def in_parallel(jobs: Sequence[Callable[[], T]], parallel: int) -> Iterator[tuple[int, T]]:
    """(place, result) of each job as it ends, so many at once.

    After the first failure no further job begins; those that ended well are still given, then the failure is raised.
    """
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        futures = {pool.submit(job): place for place, job in enumerate(jobs)}
        failure: BaseException | None = None
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                if (error := future.exception()) is not None:
                    failure = failure or error
                    for other in futures:
                        other.cancel()
                    continue
                yield futures[future], future.result()
        finally:
            for other in futures:
                other.cancel()
        if failure is not None:
            raise failure


def log_probability(value: Any) -> float | None:
    """The value as a log-probability, at most 0; None for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not -1e300 < value < 1e300:
        return None
    return min(0.0, float(value))
