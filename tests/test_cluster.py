"""The promises that only a cluster can test, under load; takes minutes, so it is not in the quick run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaos import FIRST, wreak
from cluster import Cluster
from servers import need


@pytest.mark.chaos
@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_a_cluster_that_loses_its_leaders_loses_no_request(first: Sequence[int]) -> None:
    report = wreak(need(Cluster), first)

    print(report)
    assert not report.failures()
