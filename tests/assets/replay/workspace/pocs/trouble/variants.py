"""Variants that behave, and variants that do everything else."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from typing import Any

from expplat import Call, Output, Request


def sound(request: Request, call: Call, *, seconds: float = 0.0, note: str = "") -> Output:
    """Answer; say so in a file first, where one is named."""
    noted(note, request)
    with call.stage("retrieve"):
        time.sleep(seconds)
    call.usage(model="small", input_tokens=10, output_tokens=2)
    return Output(text=f"about {request.input['question']}", retrieved=(request.request_id, "x"))


def noted(note: str, request: Request) -> None:
    if note:
        descriptor = os.open(note, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{request.request_id}\n".encode())
        os.close(descriptor)


class Troubled:
    """Is sound, but for the requests whose ids it is given trouble for."""

    def __init__(self, trouble: dict[str, str], note: str = "") -> None:
        self.trouble = trouble
        self.note = note
        self.was_set_up = False

    def setup(self) -> None:
        self.was_set_up = True

    def close(self) -> None:
        noted(self.note and f"{self.note}.closed", Request(request_id="closed", input={}))

    def __call__(self, request: Request, call: Call) -> Any:
        assert self.was_set_up
        kind = self.trouble.get(request.request_id)
        if kind is None:
            return sound(request, call, note=self.note)
        noted(self.note, request)
        return getattr(self, kind)(request, call)

    def raises(self, request: Request, call: Call) -> None:
        raise KeyError(f"no shelf {'x' * 1000}")

    def raises_unspeakably(self, request: Request, call: Call) -> None:
        class Unspeakable(Exception):  # noqa: N818
            def __str__(self) -> str:
                raise RuntimeError

        raise Unspeakable

    def exits(self, request: Request, call: Call) -> None:
        sys.exit(3)

    def interrupts(self, request: Request, call: Call) -> None:
        raise KeyboardInterrupt

    def times_out(self, request: Request, call: Call) -> None:
        raise TimeoutError("the index did not answer")

    def sleeps(self, request: Request, call: Call) -> None:
        time.sleep(60)

    def spins(self, request: Request, call: Call) -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001  (what careless code does)
                pass

    def hangs_in_c(self, request: Request, call: Call) -> None:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)

    def dies(self, request: Request, call: Call) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def gives_nothing(self, request: Request, call: Call) -> None:
        return None

    def gives_garbage(self, request: Request, call: Call) -> object:
        return object()

    def gives_unknown_field(self, request: Request, call: Call) -> dict[str, Any]:
        return {"texts": "so"}

    def gives_half_a_character(self, request: Request, call: Call) -> str:
        return "\ud800"

    def gives_ten_megabytes(self, request: Request, call: Call) -> str:
        return "x" * 10_000_000

    def gives_long_text(self, request: Request, call: Call) -> str:
        return "x" * 10_000

    def gives_bytes(self, request: Request, call: Call) -> bytes:
        return b"\xff\xfe"

    def gives_nan(self, request: Request, call: Call) -> dict[str, Any]:
        return {"text": "so", "confidence": float("nan")}

    def gives_numbers_as_ids(self, request: Request, call: Call) -> dict[str, Any]:
        return {"retrieved": [1, 2]}

    def is_overconfident(self, request: Request, call: Call) -> dict[str, Any]:
        return {"text": "so", "confidence": 1.5}

    def books_half_a_token(self, request: Request, call: Call) -> str:
        call.usage(model="small", input_tokens=0.5, output_tokens=1)  # type: ignore[arg-type]
        return "so"

    def gives_text(self, request: Request, call: Call) -> str:
        return "so"

    def gives_dict(self, request: Request, call: Call) -> dict[str, Any]:
        return {"text": "so", "retrieved": [request.request_id], "refused": True}

    def peeks(self, request: Request, call: Call) -> Output:
        return Output(retrieved=tuple(request.expected.get("relevant_ids", ("nothing",))))

    def spoils(self, request: Request, call: Call) -> Output:
        request.input["question"] = "spoilt"  # type: ignore[index]
        return Output(text="spoilt")

    def waits(self, request: Request, call: Call) -> str:
        with call.waiting():
            time.sleep(0.2)
        return "so"

    def prints(self, request: Request, call: Call) -> str:
        print("printed by a variant")
        os.write(1, b"written by a variant\n")
        return "so"

    def uses_an_unpriced_model(self, request: Request, call: Call) -> str:
        call.usage(model="nameless", input_tokens=1, output_tokens=1)
        return "so"

    def shows_its_environment(self, request: Request, call: Call) -> str:
        noted_environment = "\n".join(sorted(os.environ))
        with open(f"{self.note}.env", "w") as file:
            file.write(noted_environment)
        return "so"


class Unready:
    """Cannot be set up."""

    def setup(self) -> None:
        raise FileNotFoundError("index.bin")

    def __call__(self, request: Request, call: Call) -> str:
        return "so"


def length(request: Request, output: Output) -> float:
    """A metric: characters of the answer."""
    return float(len(output.text))


def shaky(request: Request, output: Output) -> float | None:
    """A metric that is not a number for one request, and does not apply to another."""
    if request.request_id == "r1":
        return float("nan")
    return None if request.request_id == "r2" else 1.0
