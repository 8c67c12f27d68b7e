"""Joining a Ray cluster, with a fake Ray that records calls."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from music_reformer.cores import num_cores
from music_reformer.errors import UserError
from music_reformer.ray_cluster import import_of_ray, joined_cluster


class FakeRay(SimpleNamespace):
    """Records the arguments of `init` and the number of shutdowns."""

    def __init__(self, *, initialized: bool = False, fails: bool = False) -> None:
        super().__init__(initialized=initialized, fails=fails, options={}, ended=0)

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **options: Any) -> None:
        self.options = options
        if self.fails:
            raise ConnectionError("nobody answers")

    def shutdown(self) -> None:
        self.ended += 1


def installed(monkeypatch: pytest.MonkeyPatch, **state: bool) -> FakeRay:
    ray = FakeRay(**state)
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def test_without_an_address_a_cluster_of_this_machine_is_started_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = installed(monkeypatch)
    with joined_cluster(num_cores() + 3) as joined:
        assert joined is ray
        assert ray.options["num_cpus"] == num_cores() + 3
        assert ray.ended == 0
    assert ray.ended == 1


def test_a_cluster_at_an_address_is_joined_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    ray = installed(monkeypatch)
    with joined_cluster(4):
        assert "num_cpus" not in ray.options
        assert "PYTHONPATH" in ray.options["runtime_env"]["env_vars"]


def test_the_connection_ends_with_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = installed(monkeypatch)
    with pytest.raises(KeyError), joined_cluster(1):
        raise KeyError
    assert ray.ended == 1


def test_an_existing_connection_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = installed(monkeypatch, initialized=True)
    with joined_cluster(4):
        pass
    assert (ray.options, ray.ended) == ({}, 0)


def test_an_address_at_which_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    installed(monkeypatch, fails=True)
    with (
        pytest.raises(UserError, match=r"^there is no Ray cluster at RAY_ADDRESS \(10\.0\.0\.1:6379\)$"),
        joined_cluster(4),
    ):
        pass


def test_ray_reports_its_use_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    installed(monkeypatch)
    import_of_ray("ray")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_missing_ray_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(UserError, match=r"^engine=ray needs Ray: pip install 'music-reformer\[ray\]'$"):
        import_of_ray("ray.data")
