"""The promises that need a cluster, tested under load for several minutes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaos import FIRST, run_chaos
from cluster import Cluster
from servers import need


@pytest.mark.chaos
@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_a_cluster_that_loses_its_leaders_loses_no_request(first: Sequence[int]) -> None:
    report = run_chaos(need(Cluster), first)

    print(report)
    assert not report.failures()
