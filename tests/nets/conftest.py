"""Every test of networks begins with the same random numbers, on one core."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded_on_one_core():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(2020)
    yield
    torch.set_num_threads(threads)
