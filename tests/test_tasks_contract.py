"""Every task keeps the contract; each planted violation is found, and named."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suite import contract
from suite.spec.contract import Bound, Signature, Task
from tasks import TASKS
from tasks.common import one_way
from tests import tiny_data

SMALL: dict[str, dict[str, Any]] = {
    "hmm_tag": {"time": 5, "val_size": 20, "test_size": 30},
    "copy_memory": {"time": 3, "length": 4, "val_size": 20, "test_size": 30},
    "adding": {"time": 6, "val_size": 20, "test_size": 30},
    "variable_copy": {"time": 3, "length": 4, "val_size": 20, "test_size": 30},
    "selective_copy": {"time": 9, "length": 4, "val_size": 20, "test_size": 30},
    "temporal_order": {"variant": "6b", "profile": "small", "val_size": 20, "test_size": 30},
    "parity": {"longest": 6, "test_longest": 12, "val_size": 20, "test_size": 30},
    "delayed_parity": {"delay": 2, "longest": 6, "val_size": 20, "test_size": 30},
    "dyck_check": {"shortest": 2, "longest": 5, "val_size": 20, "test_size": 30},
    "dates": {"profile": "tiny", "val_size": 20, "test_size": 30},
    "numwords": {"profile": "tiny", "val_size": 20, "test_size": 30},
    "mqar": {"pairs": 2, "length": 9, "vocabulary": 12, "val_size": 20, "test_size": 30},
    "reber": {"time": 12, "val_size": 20, "test_size": 30},
    "sentiment": {"val_size": 20, "test_size": 30},
    "sessions": {"train_size": 50, "val_size": 20, "test_size": 30},
    "pos_ud": {},
    "multi30k": {},
    "charlm": {"time": 16, "val_size": 20, "test_size": 30},
    "noise": {"time": 6, "features": 3, "shortest": 2, "val_size": 20, "test_size": 30},
}
# Digests with default options: another value means that every published score of the task belongs to other data.
GOLDEN = {
    "hmm_tag": "2b8c3ae5d262163ef205718325feb60ddde5d2dd1998507430a8ef201b84b199",
    "copy_memory": "1c17eb7302b4c00f62beb78042eb9be986e396e052f0aa2d98b313ee29e86ab3",
    "adding": "21e87b0b41f6600b3dbd279eddcca223975ba7b4670d506fa08443cc64afa49d",
    "variable_copy": "58c52367008e43a720ee8c0b798b3bd6ff9ddede12aa4b9fea014ed86176cb66",
    "selective_copy": "1569327d736bb5ce5327ca9d98e60ae1e9cbc6e5781cb9ece9700c9382ceb451",
    "temporal_order": "0ea7f53e18260fa5865aa18a0239c064324e4629594e3151a1e5efe90f0f0630",
    "parity": "e025fd894466e586b15be71b6f1a0f19d7a0d461ce988a57639952347a23f494",
    "delayed_parity": "283bd57cdd2fbab42f1d36c5d74741e4e647addb3f2edfce49d0430ce67ad221",
    "dyck_check": "68922a5cba618bfa2f82101f40f2228c6a9b7316076c59ce309b89514d8140b9",
    "dates": "a1ba7683c6450a8cf2919ead7caed2c9bd80b2d24709310e15e21b0465ef72c5",
    "mqar": "c2367362cc8a11dd7940ac5cf9a473343b731b21fb8f1338b604f41dc41728a9",
    "reber": "894a91c194ffcb6082fe19ad9e142c4c506e47f115c5d7d074f1ec9d0ed6ef54",
    "sentiment": "ae730fef10b10dc2327a32865573700a3dd02f00c3985ca85651f6101b5e9271",
    "sessions": "9d3b5a982fcdd1e8c22d90e299f58b67221dca96e78a4c215d1a65b74063c878",
    "noise": "2aacb0c605e37e118137bd2d1200f69a3a1127d52d4bf901c175cd1657493a9a",
    "numwords": "b65d8c2483487fa9e95e43d9b93fcb9aea3d9fca5dd64bef4b259c14d055d7c9",
}
GOLDEN_REAL = {
    ("pos_ud", "da_ud13"): "e9843dcd4d3521d3be6e6d29d1e4fa1e6559998d64c1b2485b3c0772d382b00d",
    ("pos_ud", "en_atis"): "dcb4a7cc65b3ca07e765ea8f13cd16124c960248a46242d3a4cae1176ab9b232",
    ("pos_ud", "en_ewt"): "1abb9d00a7425b3db49b186226bd0a893f63a5da95d06c1700a531891f8c2346",
    ("multi30k", ""): "ad5e2524b7fc0166701a0541e3f11f36e4672a39b0f26cd732756c8a8466c3ab",
    ("charlm", ""): "01f70146d43b0c7f23e145eda3689a2b0fade8d41895e1a1f09942f5852ed55f",
}


def make(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    if name in ("pos_ud", "multi30k", "charlm"):
        tiny_data.install(folder, monkeypatch)
    if name == "multi30k":
        pytest.importorskip("sacrebleu", reason="multi30k needs sacrebleu: pip install 'recurbench[mt]'")
    return TASKS[name](**SMALL[name])


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract.check_task(make(name, tmp_path, monkeypatch), size=8)


@pytest.mark.parametrize("name", TASKS)
def test_what_makes_a_task_says_what_it_is(name: str) -> None:
    assert (TASKS[name].__doc__ or "").partition("\n")[0].endswith(".")


@pytest.mark.parametrize("name", GOLDEN)
def test_data_are_the_published_bytes(name: str) -> None:
    assert TASKS[name]().digest() == GOLDEN[name]


@tiny_data.real
@pytest.mark.parametrize(("name", "treebank"), GOLDEN_REAL)
def test_real_data_are_the_published_bytes(name: str, treebank: str) -> None:
    assert TASKS[name](**({"treebank": treebank} if treebank else {})).digest() == GOLDEN_REAL[name, treebank]


def test_data_do_not_depend_on_the_process() -> None:
    code = f"from tasks import TASKS; print(TASKS['numwords'](**{SMALL['numwords']!r}).digest())"
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert out.stdout.strip() == TASKS["numwords"](**SMALL["numwords"]).digest()


@pytest.mark.parametrize("name", TASKS)
def test_an_unknown_option_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} has no option 'colour'; it has .*") as caught:
        TASKS[name](colour="red")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hmm_tag", {"time": 0}, "hmm_tag: time is 0; use a whole number >= 1"),
        ("hmm_tag", {"data_seed": "eleven"}, "data_seed is 'eleven'; use a whole number >= 0"),
        ("copy_memory", {"symbols": 1}, "symbols is 1; use a whole number >= 2"),
        ("adding", {"time": True}, "time is True; use a whole number >= 2"),
        ("numwords", {"profile": "huge"}, "profile is 'huge'; use one of full, tiny"),
        ("numwords", {"profile": "tiny", "test_size": 999}, "test_size is 999; there are 400"),
        ("pos_ud", {"treebank": "fr"}, "treebank is 'fr'; use one of da_ud13, en_ewt, en_atis"),
        ("multi30k", {"max_words": 5}, "max_words is 5; use a whole number >= 21"),
    ],
)
def test_an_impossible_value_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS[name](**options)


def test_a_split_or_step_that_is_not_there_is_refused() -> None:
    task = TASKS["adding"](**SMALL["adding"])
    with pytest.raises(ValueError, match="split 'tests' is not known or has no end; use one of val, test"):
        task.batch("tests", 0, 0, 8)
    with pytest.raises(ValueError, match="split 'train' is not known or has no end"):
        task.batches("train", 8)
    with pytest.raises(ValueError, match=r"step 4 of 'test' does not exist; 8 rows a batch make steps 0\.\.3"):
        task.batch("test", 0, 4, 8)


Change = Callable[[SimpleNamespace], dict[str, Any]]


def on_batch(**changes: Callable[..., Any]) -> Change:
    """A fault in every batch: field -> (batch, split, seed, step) -> its new value."""

    def change(task: SimpleNamespace) -> dict[str, Any]:
        def batch(split: str, seed: int, step: int, size: int) -> Any:
            b = task.batch(split, seed, step, size)
            return replace(b, **{name: f(b, split, seed, step) for name, f in changes.items()})

        return {"batch": batch}

    return change


def with_score(f: Callable[[dict[str, float], Any, Any], dict[str, float]]) -> Change:
    return lambda task: {"score": lambda p, b: f(task.score(p, b), p, b)}


def shared_memory(task: SimpleNamespace) -> dict[str, Any]:
    kept: dict[Any, Any] = {}
    return {"batch": lambda *a: kept.setdefault(a, task.batch(*a))}


def impure(task: SimpleNamespace) -> dict[str, Any]:
    calls = count()
    return {"batch": lambda split, seed, step, size: task.batch(split, seed + next(calls), step, size)}


def lost_rows(task: SimpleNamespace) -> dict[str, Any]:
    return {"batches": lambda split, size: task.batches(split, size) - 1}


def endless_digest(task: SimpleNamespace) -> dict[str, Any]:
    calls = count()
    return {"digest": lambda: hashlib.sha256(str(next(calls)).encode()).hexdigest()}


def one(a: Any, value: int, row: int = -1) -> Any:
    """A copy with one entry of a row changed."""
    out = a.copy()
    out[row if a.ndim == 1 else (row, 0)] = value
    return out


FAULTS: dict[str, tuple[str, Change, str]] = {
    "impure": ("numwords", impure, "numwords: 'train' gave other bytes the second time"),
    "shared memory": ("hmm_tag", shared_memory, "hmm_tag: 'train' hands out its own memory"),
    "token": ("hmm_tag", on_batch(x=lambda b, *_: one(b.x, 60)), "batch 0 of 'val': x holds a token outside 0..59"),
    "negative token": ("hmm_tag", on_batch(x=lambda b, *_: one(b.x, -1)), "x holds a token outside 0..59"),
    "class": ("hmm_tag", on_batch(y=lambda b, *_: one(b.y, 8)), "y holds a class outside 0..7"),
    "length 0": ("copy_memory", on_batch(lengths=lambda b, *_: one(b.lengths, 0)), "lengths must lie in 1..11"),
    "too long": ("copy_memory", on_batch(lengths=lambda b, *_: one(b.lengths, 12)), "lengths must lie in 1..11"),
    "int64": ("hmm_tag", on_batch(x=lambda b, *_: b.x.astype(np.int64)), r"x must be \(B, T\) int32, it is .* int64"),
    "float32": ("adding", on_batch(x=lambda b, *_: b.x.astype(np.float32)), r"x must be \(B, T, 2\) float64"),
    "NaN": ("adding", on_batch(x=lambda b, *_: b.x * np.nan), "x holds a number that is not finite"),
    "flat y": ("adding", on_batch(y=lambda b, *_: b.y[:, 0]), r"y must be \(B, O\) float64"),
    "rows": ("adding", on_batch(x=lambda b, *_: b.x[1:]), "x has 7 rows, 8 were asked for"),
    "pad scored": ("hmm_tag", on_batch(lengths=lambda b, *_: one(b.lengths, 1)), "a pad is scored"),
    "all unscored": ("hmm_tag", on_batch(scored=lambda b, *_: b.scored & False), "nothing is scored"),
    "y_in is y": ("numwords", on_batch(y_in=lambda b, *_: b.y), "y_in must be bos and then y shifted by one"),
    "no eos": ("numwords", on_batch(y=lambda b, *_: np.where(b.y == 2, 4, b.y)), "a target does not end with eos"),
    "y_in elsewhere": ("hmm_tag", on_batch(y_in=lambda b, *_: b.y), "y_in and y_lengths belong to 'translate'"),
    "short decoding": (
        "numwords",
        lambda task: {"signature": replace(task.signature, longest_target=3)},
        "y has 7 steps, longest_target is 3",
    ),
    "shapes": ("hmm_tag", on_batch(
        x=lambda b, split, seed, step: b.x[:, : 1 + step % 5],
        y=lambda b, split, seed, step: b.y[:, : 1 + step % 5],
        scored=lambda b, split, seed, step: b.scored[:, : 1 + step % 5],
        lengths=lambda b, split, seed, step: b.lengths * 0 + 1 + step % 5,
    ), "hmm_tag: 5 shapes of batch; at most 3"),
    "seeded test": ("adding", lambda task: {
        "batch": lambda split, seed, step, size: task.batch("train" if split == "test" else split, seed, step, size)
    }, "adding: 'test' depends on the seed; only training may"),
    "one seed": ("adding", lambda task: {"batch": lambda split, seed, *a: task.batch(split, 0, *a)},
                 "training does not depend on the seed"),
    "one step": ("adding", lambda task: {
        "batch": lambda split, seed, step, size: task.batch(split, seed, step * (split != "train"), size)
    }, "training does not depend on the step"),
    "lost rows": ("adding", lost_rows, "'val' has other rows at 8 and at 9 rows a batch"),
    "no error": ("adding", with_score(lambda s, p, b: {"mse": s["mse"]}), "score returns no 'mse_se'"),
    "NaN score": ("adding", with_score(lambda s, p, b: s | {"solved": np.nan}), "a number that is not finite"),
    "pads count": ("adding", with_score(lambda s, p, b: s | {"sum": float(sum(map(np.sum, p)))}),
                   "score depends on predictions for unscored targets"),
    "low ceiling": ("hmm_tag", lambda task: {"bounds": lambda both: (Bound("floor", 1.5, "planted"),)},
                    "the right answers score 1.0, worse than the floor 1.5"),
    "crossed": ("hmm_tag", lambda task: {"bounds": lambda both: (Bound("floor", 0.9, "a"), Bound("ceiling", 0.8, "b"))},
                "a floor lies beyond a ceiling"),
    "no bound": ("hmm_tag", lambda task: {"bounds": lambda both: (Bound("floor", np.nan, "a"),)}, "must be finite"),
    "one way refused": ("hmm_tag", lambda task: {"bounds": lambda both: one_way("hmm_tag", not both)},
                        "bounds refuse a network that reads one way; only both ways may be refused"),
    "digest": ("hmm_tag", endless_digest, "digest differs from one call to the next"),
    "no digest": ("hmm_tag", lambda task: {"digest": lambda: "latest"}, "digest 'latest' is no SHA-256"),
    "direction": ("hmm_tag", lambda task: {"better": "up"}, "better is 'up', neither higher nor lower"),
    "name": ("hmm_tag", lambda task: {"name": "a task"}, "name 'a task' must be an identifier"),
    "features": ("adding", lambda task: {"signature": Signature("final", "mse", 3, 1, tokens=False)},
                 r"x must be \(B, T, 3\) float64"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_violation_is_found(fault: str) -> None:
    name, change, message = FAULTS[fault]
    honest = TASKS[name](**SMALL[name])
    parts = ("name", "metric", "better", "signature", "batch", "batches", "score", "bounds", "digest")
    task = SimpleNamespace(**{part: getattr(honest, part) for part in parts})
    task.__dict__.update(change(SimpleNamespace(**task.__dict__)))
    with pytest.raises(AssertionError, match=message):
        contract.check_task(task, size=8)
