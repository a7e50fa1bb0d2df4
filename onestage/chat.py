"""One client for any OpenAI-compatible server, on the standard library."""

import base64
import json
import math
import os
import time
import urllib.error
import urllib.request
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

T = TypeVar("T")
FIRST_PAUSE_S = 0.5  # between the first two tries; it doubles
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
        told = [t["logprob"] for t in self.logprobs if _is_number(t.get("logprob"))]
        return min(1.0, math.exp(sum(told) / len(told))) if told else None


class ChatClient:
    """Asks a server one question a request."""

    def __init__(self, url: str, config: ServerConfig, where: str) -> None:
        self._url = url.rstrip("/") + ("" if url.rstrip("/").endswith("/chat/completions") else "/chat/completions")
        self._config, self._where = config, where

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
        if secret := os.environ.get(self._config.key_variable):
            headers["Authorization"] = f"Bearer {secret}"
        told = ""
        for number in range(self._config.tries):
            if number:
                time.sleep(FIRST_PAUSE_S * 2 ** (number - 1))
            request = urllib.request.Request(self._url, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=self._config.timeout_s) as response:
                    return json.loads(response.read())
            except urllib.error.HTTPError as error:
                with error:
                    told = f"status {error.code}: {error.read(300).decode(errors='replace')}"
                if error.code not in PASSING:
                    raise InputError(f"{self._where}: {self._url} refuses: {told}") from None
            except TimeoutError:
                told = f"no answer within {self._config.timeout_s:g} s"
            except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
                told = reason(error)
        tries = self._config.tries
        raise InputError(f"{self._where}: {self._url} gave no answer in {tries} tries ({told})")

    def _reply(self, value: Any) -> Reply:
        try:
            choice = value["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{self._where}: {self._url} answers in no form of chat completions: "
                             f"{json.dumps(value)[:120]}") from None  # fmt: skip
        usage = value.get("usage") if isinstance(value.get("usage"), dict) else {}
        tokens = usage.get("completion_tokens")
        listed = choice.get("logprobs")
        steps = listed.get("content") if isinstance(listed, dict) else None
        kept = tuple(step for step in steps if isinstance(step, dict)) if isinstance(steps, list) else ()
        return Reply(text if isinstance(text, str) else "", tokens if isinstance(tokens, int) else 0, kept)


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
