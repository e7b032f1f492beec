"""The ids of calls: valid UUIDs, all different, of which those of one process begin alike."""

from __future__ import annotations

import os
import uuid

from ringback.call_ids import DIGITS, beginning, new_call_id


def test_ids_are_random_uuids_that_begin_alike() -> None:
    ids = [new_call_id() for _ in range(10_000)]

    assert len(set(ids)) == len(ids)
    assert {found[:DIGITS] for found in ids} == {beginning()}
    for one in ids:
        read = uuid.UUID(one)
        assert (str(read), read.version, read.variant) == (one, 4, uuid.RFC_4122)
    varying = [set(digits) for digits in zip(*ids, strict=True)]
    found = [len(digits) for digits in varying[DIGITS:] if digits != {"-"}]
    assert found == [16] * 4 + [1] + [16] * 3 + [4] + [16] * 15


def test_a_forked_process_has_a_beginning_of_its_own() -> None:
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, beginning().encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 100).decode() != beginning()
