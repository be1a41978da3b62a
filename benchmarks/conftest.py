"""Setting of every benchmark: one core (unless it sets more) and the same random numbers."""

import cv2
import pytest
import torch
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_core():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(2020)
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)
