"""The worst files, sent to the server: each is opened or refused, while other visitors are served."""

from __future__ import annotations

import json
import threading
import time

import pytest

from helpers.page_calls import CLIENT, outcome, upload
from helpers.worst_files import WORST

# On a quiet machine; read by the server itself, the worst of these took over a minute.
MOST_WAITING = 1.0
LARGE_ANSWERS = ["as many notes as are read", "as many metres as are read", "as many controllers as are read"]
REFUSED = ["64/128 over a long time", "names"]


@pytest.mark.parametrize("name", LARGE_ANSWERS + REFUSED)
def test_others_are_answered_while_the_worst_files_are_opened(address: str, name: str) -> None:
    path = upload(address, WORST[name](), name="worst.mid")
    at_rest = max(_seconds_of_an_answer(address) for _ in range(50))
    slowest, opened = 0.0, threading.Event()

    def ask_on_and_on() -> None:
        nonlocal slowest
        while not opened.is_set():
            slowest = max(slowest, _seconds_of_an_answer(address))
            time.sleep(0.02)

    asking = threading.Thread(target=ask_on_and_on)
    asking.start()
    try:
        kind, answer = outcome(address, "open", [{"path": path, "orig_name": "worst.mid"}])
    finally:
        opened.set()
        asking.join()
    if kind == "complete":
        assert answer[0]["key"]
        assert json.loads(answer[0]["roll"])["tracks"]
    else:
        assert kind == "error"
        assert "worst.mid " in str(answer)
        assert "took more than" not in str(answer)
    assert 0 < slowest < MOST_WAITING + 10 * at_rest


def _seconds_of_an_answer(address: str) -> float:
    began = time.monotonic()
    assert CLIENT.get(f"{address}waiting").status_code == 200
    return time.monotonic() - began
